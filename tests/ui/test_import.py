"""The import page: large files in pieces, with counts, line numbers, pauses and broken networks."""
import json

from playwright.sync_api import expect

from conftest import pair_rows


def test_pieces_of_a_large_file(stage, tmp_path):
    """A file of several pieces: counts move, refused rows keep their own line numbers."""
    slug = stage.project()
    page = stage.page(f"/p/{slug}/import")
    rows = pair_rows(1500)
    lines = []
    for number, row in enumerate(rows, 1):
        row["completions"][0]["content"] += " filler" * 100
        lines.append("not json" if number in (3, 1400) else json.dumps(row))
    data = tmp_path / "many.jsonl"
    data.write_text("\n".join(lines))
    page.set_input_files("input[type=file]", data)
    expect(page.get_by_text("Done: 1,500")).to_be_visible(timeout=30000)
    first, last = page.locator("tbody tr").nth(0), page.locator("tbody tr").nth(1)
    expect(first.locator("th")).to_have_text("3")
    expect(last.locator("th")).to_have_text("1,400")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download refused rows").click()
    refused = [json.loads(line) for line in open(waiting.value.path())]
    assert [(one["line"], one["row"]) for one in refused] == [(3, "not json"), (1400, "not json")]


def test_pieces_of_a_votes_file(stage, tmp_path):
    """Each piece of a CSV begins with the header again; line numbers are the file's own."""
    slug = stage.project()
    page = stage.page(f"/p/{slug}/import")
    lines = ["prompt_id,model_a,model_b,annotator,winner"]
    for number in range(2, 24002):
        winner = "nobody" if number == 23000 else "ab"[number % 2]
        lines.append(f"prompt-number-{number // 3},model-one,model-two,judge-{number % 7},{winner}")
    data = tmp_path / "votes.csv"
    data.write_text("\n".join(lines) + "\n")
    assert data.stat().st_size > 1 << 20
    page.set_input_files("input[type=file]", data)
    expect(page.get_by_text("Done: 24,001")).to_be_visible(timeout=40000)
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr th")).to_have_text("23,000")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download refused rows").click()
    [refused] = [json.loads(line) for line in open(waiting.value.path())]
    assert refused["row"] == lines[22999]


def test_paste_and_network_trouble(stage):
    slug = stage.project()
    page = stage.page(f"/p/{slug}/import")
    page.route("**/import?*", lambda route: route.abort(), times=1)
    page.get_by_label("Lines of JSON").fill("\n".join(json.dumps(row) for row in pair_rows(3)))
    page.get_by_role("button", name="Import the text").click()
    expect(page.get_by_text("The server cannot be reached; trying again")).to_be_visible()
    expect(page.get_by_text("Done: 3 lines")).to_be_visible()
    expect(page.locator(".figure", has_text="Comparisons")).to_contain_text("3")

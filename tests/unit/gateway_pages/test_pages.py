"""How the page's files are served, and what its sources may not contain."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from voicehelper.gateway.pages import FOLDER, ROOT, Playground, policy, read_folder, serve_pages

FILES = {"index.html": b'<script src="{{files}}/js/a.js"></script>', "js/a.js": b"1", "css/a.css": b"*{}"}


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    serve_pages(app)
    return TestClient(app, follow_redirects=False)


def test_home_leads_to_the_page(client: TestClient) -> None:
    response = client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, ROOT)


def test_everything_the_page_names_is_there_and_kept_for_good(client: TestClient) -> None:
    page = client.get(ROOT).text
    named = re.findall(r'"(/playground/[^"]+)"', page)
    assert len(named) >= 7 and "{{" not in page
    for url in named:
        response = client.get(url)
        assert response.status_code == 200, url
        assert "immutable" in response.headers["cache-control"]


def test_every_import_leads_to_a_file() -> None:
    files = read_folder(FOLDER)
    for name, content in files.items():
        for target in re.findall(r'(?:from|import|new URL\()\s*"(\.[^"]+\.js)"', content.decode()):
            assert (Path(FOLDER, name).parent / target).resolve().is_file(), f"{name} imports {target}"


def test_types_are_the_files_own(client: TestClient) -> None:
    release = Playground(read_folder(FOLDER)).release
    types = {"js/main.js": "text/javascript", "css/base.css": "text/css", "icon.svg": "image/svg+xml"}
    for path, media_type in types.items():
        assert client.get(f"{ROOT}/{release}/{path}").headers["content-type"].startswith(media_type)


def test_an_unchanged_file_is_not_sent_again(client: TestClient) -> None:
    first = client.get(ROOT)
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(ROOT, headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


def test_a_page_of_another_release_gets_todays_files_and_may_not_keep_them(client: TestClient) -> None:
    response = client.get(f"{ROOT}/older/js/main.js")
    assert (response.status_code, response.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("path", ["js/none.js", "..%2fpages.py", "js/", "index.html", ""])
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(f"{ROOT}/release/{path}").status_code == 404


def test_the_release_changes_with_any_file() -> None:
    releases = {Playground(FILES | change).release for change in ({}, {"js/a.js": b"2"}, {"js/b.js": b""})}
    assert len(releases) == 3


def test_the_policy_names_our_own_sockets_only() -> None:
    assert "connect-src 'self' ws://example.com:8000 wss://example.com:8000;" in policy("example.com:8000")
    for hostile in ("a b", "x; script-src *", "", "a\n", "*"):
        assert "connect-src 'self';" in policy(hostile)
    assert "unsafe" not in policy("localhost")
    assert "require-trusted-types-for 'script'" in policy("localhost")


def test_no_text_becomes_markup_and_nothing_comes_from_outside() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc")
    for name, content in read_folder(FOLDER).items():
        text = content.decode()
        assert not forbidden.search(text), name
        links = re.findall(r"(?:src|href|url\(|import|from)\W{1,3}(?:https?:)?//[a-z]", text)
        assert not links, f"{name}: {links}"


def test_both_languages_say_the_same_things() -> None:
    keys = [
        re.findall(r'(?:^|\s|,)"?([\w.]+)"?: "', (FOLDER / f"js/strings/{name}.js").read_text())
        for name in ("zh", "en")
    ]
    assert sorted(keys[0]) == sorted(keys[1])
    assert len(keys[0]) == len(set(keys[0])) > 100
    used = "\n".join(content.decode() for content in read_folder(FOLDER).values())
    named = re.findall(r'\bt\("([\w.]+)"|data-(?:t|label|hint)="([\w.]+)"|\b(?:t|label|hint): "([\w.]+)"', used)
    for key in {part for found in named for part in found if part}:
        assert key in keys[0], f"{key} is used and not written"


def test_modules_are_small() -> None:
    for name, content in read_folder(FOLDER).items():
        assert len(content.splitlines()) <= 320, name


def test_pure_modules_under_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    tests = sorted((Path(__file__).parent / "js").glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *map(str, tests)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]

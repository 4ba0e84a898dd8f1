"""Makes the PDF, DOCX and HTML documents of `examples/knowledge` from the Markdown in `examples/sources`.

Run `python tools/make_examples.py` after editing a source; the same source gives the same bytes.
"""

import html
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from docx import Document
from markdown_it import MarkdownIt
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate
from reportlab.platypus.flowables import Flowable

ROOT = Path(__file__).resolve().parent.parent / "examples"
FRONT_MATTER = re.compile(r"\A---\nformat: (pdf|docx|html)\n---\n")
CHINESE_FONT = "STSong-Light"  # a CID font every PDF reader brings: nothing is embedded, files stay small
_EPOCH = (2026, 1, 1, 0, 0, 0)

PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<head>
<meta charset="utf-8">
<title>{title} - {shop}</title>
<style>body {{ font-family: sans-serif; }} .price {{ color: #c00; }}</style>
<script>window.tracker = {{ page: "help", visitor: Math.random() }};</script>
</head>
<body>
<header class="site-header"><a href="/">{shop}</a><form><input name="q"><button>{search}</button></form></header>
<nav><ul><li><a href="/">{home}</a></li><li><a href="/cart">{cart}</a></li></ul></nav>
<main>
{body}
</main>
<footer><p>© 2026 {shop}</p></footer>
<script>tracker.send();</script>
</body>
</html>
"""
CHINESE_PAGE = {"lang": "zh-CN", "shop": "云雀商城", "search": "搜索", "home": "首页", "cart": "购物车"}
ENGLISH_PAGE = {"lang": "en", "shop": "Lark Mall", "search": "Search", "home": "Home", "cart": "Cart"}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a source: `kind` is h1, h2, p, bullet, number or table (`rows`, the header first)."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def main() -> None:
    """Write every document whose source names a format."""
    for source in sorted((ROOT / "sources").glob("*.md")):
        text = source.read_text(encoding="utf-8")
        front = FRONT_MATTER.match(text)
        if front is None:
            raise SystemExit(f"{source.name}: no `format:` in its front matter")
        kind = front.group(1)
        target = ROOT / "knowledge" / f"{source.stem}.{kind}"
        target.write_bytes(WRITERS[kind](text[front.end() :]))


def parts_of(markdown: str) -> Iterator[Part]:
    """The pieces of a source, in order."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    kind = "p"
    rows: list[list[str]] = []
    in_table = False
    for token in tokens:
        match token.type:
            case "heading_open":
                kind = token.tag
            case "bullet_list_open" | "ordered_list_open":
                kind = "bullet" if token.type.startswith("bullet") else "number"
            case "bullet_list_close" | "ordered_list_close" | "heading_close":
                kind = "p"
            case "table_open":
                in_table, rows = True, []
            case "tr_open":
                rows.append([])
            case "inline" if in_table:
                rows[-1].append(token.content)
            case "inline":
                yield Part(kind, token.content.replace("\n", ""))
            case "table_close":
                in_table = False
                yield Part("table", rows=tuple(tuple(row) for row in rows))


def to_html(markdown: str) -> bytes:
    """A help-centre page with the navigation, scripts and footer such pages have."""
    words = CHINESE_PAGE if _is_chinese(markdown) else ENGLISH_PAGE
    title = next(part.text for part in parts_of(markdown) if part.kind == "h1")
    body = MarkdownIt("commonmark").enable("table").render(markdown).strip()
    return PAGE.format(title=html.escape(title), body=body, **words).encode()


def to_docx(markdown: str) -> bytes:
    """A Word document with real heading and list styles."""
    document = Document()
    for part in parts_of(markdown):
        if part.kind in ("h1", "h2"):
            document.add_heading(part.text, level=int(part.kind[1]))
        elif part.kind == "table":
            table = document.add_table(rows=0, cols=len(part.rows[0]), style="Table Grid")
            for row in part.rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
        else:
            document.add_paragraph(part.text, style=DOCX_STYLES[part.kind])
    buffer = BytesIO()
    document.save(buffer)
    return _without_times(buffer.getvalue())


def to_pdf(markdown: str) -> bytes:
    """A PDF with a running head and page numbers."""
    chinese = _is_chinese(markdown)
    pdfmetrics.registerFont(UnicodeCIDFont(CHINESE_FONT))
    font = CHINESE_FONT if chinese else "Helvetica"
    wrap = "CJK" if chinese else None
    styles = {
        "h1": ParagraphStyle("h1", fontName=font, fontSize=20, leading=30, spaceAfter=14),
        "h2": ParagraphStyle("h2", fontName=font, fontSize=15, leading=22, spaceBefore=16, spaceAfter=8),
        "p": ParagraphStyle("p", fontName=font, fontSize=12, leading=22, spaceAfter=8, wordWrap=wrap),
    }
    story: list[Flowable] = []
    title = ""
    for part in parts_of(markdown):
        title = title or part.text
        mark = "• " if part.kind == "bullet" else ""
        story.append(Paragraph(html.escape(mark + part.text), styles.get(part.kind, styles["p"])))
    buffer = BytesIO()
    decorate = _decoration(font, "云雀商城 客户服务资料" if chinese else "Lark Mall Customer Service", chinese)
    document = SimpleDocTemplate(buffer, pagesize=A4, title=title, author="云雀商城", invariant=1)
    document.build(story, onFirstPage=decorate, onLaterPages=decorate)
    return buffer.getvalue()


def _decoration(font: str, head: str, chinese: bool) -> Callable[[Canvas, SimpleDocTemplate], None]:
    def draw(canvas: Canvas, document: SimpleDocTemplate) -> None:
        canvas.setFont(font, 9)
        canvas.drawString(72, 805, head)
        canvas.drawString(280, 30, f"第 {document.page} 页" if chinese else f"Page {document.page}")

    return draw


def _is_chinese(text: str) -> bool:
    return bool(re.search(r"[\u4e00-\u9fff]", text))


def _without_times(package: bytes) -> bytes:
    """The same zip entries, all of one fixed time."""
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(package)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(zipfile.ZipInfo(name, _EPOCH), source.read(name), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


DOCX_STYLES = {"p": None, "bullet": "List Bullet", "number": "List Number"}
WRITERS: dict[str, Callable[[str], bytes]] = {"html": to_html, "docx": to_docx, "pdf": to_pdf}

if __name__ == "__main__":
    main()

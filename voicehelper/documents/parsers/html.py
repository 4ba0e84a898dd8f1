"""HTML through lexbor: what a reader of the page's main part sees, in order."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from voicehelper.documents.cleaning import clean_line
from voicehelper.documents.encoding import decode
from voicehelper.documents.model import ParsedDocument, ParseLimits
from voicehelper.documents.parsers.blocks import BlockList, unwrap
from voicehelper.documents.tables import guess_header, table_text

_CHARSET = re.compile(
    rb"<meta[^>]+charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)|<\?xml[^>]+encoding=[\"']([A-Za-z0-9_:.-]+)", re.I
)
_UNREAD = """script style noscript template head svg math iframe object embed canvas video audio select option button
    input textarea datalist dialog nav aside frameset"""
_NEVER_TEXT = frozenset(_UNREAD.split())
_BOILERPLATE = re.compile(
    r"(?:^|[\s_-])(?:nav|navbar|menu|breadcrumbs?|sidebar|cookie|cookies|banner|advert|ads|share|social|pagination|copyright"
    r"|site-header|site-footer|page-header|page-footer|skip-link)(?:$|[\s_-])",
    re.IGNORECASE,
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BLOCK_TAGS = """p div section article main body html ul ol dl blockquote figure figcaption address details summary
    header footer form fieldset legend center hr li dt dd caption thead tbody tfoot tr td th"""
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_MAIN_SHARE = 0.4  # of the page's text that `main` or `article` must hold to be taken for the page


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Blocks of an HTML page without scripts, navigation and other boilerplate."""
    tree = LexborHTMLParser(_source(data))
    title = tree.css_first("title")
    walker = _Walker(BlockList(limits.max_text_chars))
    if root := _main_part(tree):
        walker.walk(root)
    return walker.blocks.document(clean_line(title.text()) if title else "")


def inspect(data: bytes, _limits: ParseLimits) -> None:
    """Refuse what is no text. Raises reasons ENCODING, MISMATCH."""
    _source(data)


def _source(data: bytes) -> str:
    declared = _CHARSET.search(data[:4096])
    name = next((group for group in declared.groups() if group), b"").decode() if declared else ""
    return decode(data, name)


def fragment_text(html: str) -> str:
    """The visible text of an HTML fragment, one line per block."""
    tree = LexborHTMLParser(html)
    walker = _Walker(BlockList(len(html) + 100))
    if tree.body:
        walker.walk(tree.body)
    return "\n".join(block.text for block in walker.blocks.blocks)


def _main_part(tree: LexborHTMLParser) -> LexborNode | None:
    body = tree.body
    if body is None:
        return tree.root
    for selector in ("main", "[role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1 and len(found[0].text_lexbor()) >= _MAIN_SHARE * _visible_length(body):
            return found[0]
    return body


def _visible_length(body: LexborNode) -> int:
    hidden = sum(len(node.text_lexbor()) for node in body.css("script, style, noscript, template, nav"))
    return len(body.text_lexbor()) - hidden


class _Walker:
    """Depth-first without recursion: hostile pages nest deeper than the interpreter's stack."""

    def __init__(self, blocks: BlockList) -> None:
        self.blocks = blocks
        self._line: list[str] = []
        self._mark = ""
        self._lists: list[int | None] = []  # next number of each open list; None for bullets

    def walk(self, root: LexborNode) -> None:
        """Collect the blocks under `root`."""
        stack: list[tuple[LexborNode, bool]] = [(root, False)]
        while stack:
            node, seen = stack.pop()
            if seen:
                self._leave(node.tag or "")
            elif node.is_text_node:
                self._line.append(node.text_content or "")
            elif node.mem_id == root.mem_id or self._enter(node):
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
        self._flush()

    def _enter(self, node: LexborNode) -> bool:
        """Note that `node` begins; False where its children are none of the walk's business."""
        tag = node.tag or ""
        if _is_hidden(node, tag):
            return False
        if tag in _HEADINGS or tag in ("table", "pre"):
            self._flush()
            self._whole(node, tag)
            return False
        if tag == "br":
            self._line.append("\v")
        elif tag in _BLOCKS:
            self._flush()
            self._open_list(node, tag)
        return True

    def _whole(self, node: LexborNode, tag: str) -> None:
        if tag == "table":
            self.blocks.text(_table(node))
        elif tag == "pre":
            self.blocks.code(node.text())
        else:
            self.blocks.heading(_inner_line(node), _HEADINGS[tag])

    def _open_list(self, node: LexborNode, tag: str) -> None:
        if tag == "ol":
            start = node.attributes.get("start") or ""
            self._lists.append(int(start) if start.isdecimal() and len(start) < 6 else 1)
        elif tag == "ul":
            self._lists.append(None)
        elif tag == "li":
            number = self._lists[-1] if self._lists else None
            self._mark = "- " if number is None else f"{number}. "
            if number is not None:
                self._lists[-1] = number + 1

    def _leave(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._flush()
        if tag in ("ol", "ul") and self._lists:
            self._lists.pop()

    def _flush(self) -> None:
        text = _visible_lines("".join(self._line))
        self._line.clear()
        if text:
            self.blocks.text(self._mark + text)
            self._mark = ""


def _visible_lines(text: str) -> str:
    """White space as a browser shows it: line breaks of the source are spaces, `<br>` (here a vertical tab) is not."""
    return "\n".join(line for part in text.split("\v") if (line := clean_line(unwrap(part))))


def _is_hidden(node: LexborNode, tag: str) -> bool:
    if tag in _NEVER_TEXT or tag == "-comment":
        return True
    marks = node.attributes
    if "hidden" in marks or marks.get("aria-hidden") == "true" or marks.get("role") in ("navigation", "search"):
        return True
    if _HIDDEN_STYLE.search(marks.get("style") or ""):
        return True
    if tag in ("header", "footer") and node.parent is not None and node.parent.tag == "body":
        return tag == "footer" or node.css_first("h1") is None
    return tag != "body" and bool(_BOILERPLATE.search(f"{marks.get('class') or ''} {marks.get('id') or ''}"))


def _inner_line(node: LexborNode) -> str:
    """Visible text of a heading or cell as one line."""
    inner = _Walker(BlockList(len(node.text_lexbor()) * 4 + 1000))
    inner.walk(node)
    return " ".join(block.text.replace("\n", " ") for block in inner.blocks.blocks)


def _table(table: LexborNode) -> str:
    rows: list[list[str]] = []
    header: list[str] = []
    for row in table.css("tr"):
        cells = [cell for cell in row.iter() if cell.tag in ("td", "th")]
        texts = [_inner_line(cell) for cell in cells]
        if not rows and not header and cells and all(cell.tag == "th" for cell in cells):
            header = texts
        elif any(texts):
            rows.append(texts)
    if not header and not table.css_first("th"):
        guessed, body = guess_header(rows)
        return table_text(guessed, body)
    return table_text(header, rows)

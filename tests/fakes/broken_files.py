"""Files to index: small good ones in every format, and ones broken in different ways with the reason each must get.

`python tests/fakes/broken_files.py DIR [GOOD]` writes the corpus and its manifest (JSON, beside DIR).
"""

import json
import random
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from docx import Document
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate

from voicehelper.documents.model import FailureReason

FONT = "STSong-Light"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `mixed_corpus` wrote: file name -> a code that occurs in it alone; file name -> the reason it must fail."""

    good: dict[str, str]
    broken: dict[str, str]


def broken_files() -> dict[str, tuple[bytes, FailureReason]]:
    """Broken files by name, each with the reason indexing must give. Deterministic."""
    reason = FailureReason
    return {
        "empty.txt": (b"", reason.EMPTY),
        "blank.md": ("\n \t\u3000\r\n\n".encode(), reason.EMPTY),
        "front-matter-only.md": (b"---\ntitle: nothing\n---\n", reason.EMPTY),
        "script-only.html": (b"<html><script>alert('x')</script><style>p{}</style></html>", reason.EMPTY),
        "empty.docx": (make_docx([]), reason.EMPTY),
        "program.exe": (b"MZ\x90\x00" + b"\x00" * 200, reason.UNSUPPORTED),
        "sheet.xlsx": (_zip({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<x/>"}), reason.UNSUPPORTED),
        "picture.pdf": (_png(), reason.MISMATCH),
        "manual.docx": (make_pdf("标题", ["其实是 PDF。"]), reason.MISMATCH),
        "notes.txt": (make_docx(["其实是 Word 文档。"]), reason.MISMATCH),
        "renamed-sheet.docx": (_zip({"[Content_Types].xml": b"<T/>", "xl/workbook.xml": b"<x/>"}), reason.MISMATCH),
        "legacy-word.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, reason.MISMATCH),
        "page.txt": ("<!DOCTYPE html><html><body>网页</body></html>".encode(), reason.MISMATCH),
        "binary.md": (b"# title\n\x00\x01\x02\x03\x00\xff" * 40, reason.MISMATCH),
        "garbage.pdf": (b"%PDF-1.7\n" + _noise(2000), reason.CORRUPT),
        "header-only.pdf": (b"%PDF-1.4\n", reason.CORRUPT),
        "locked.pdf": (_locked_pdf(), reason.ENCRYPTED),
        "scanned.pdf": (_scanned_pdf(), reason.NO_TEXT),
        "blank-page.pdf": (_canvas(lambda canvas: None), reason.NO_TEXT),
        "truncated.docx": (make_docx(["被截断的文档。"] * 50)[:-900], reason.CORRUPT),
        "bad-xml.docx": (_replace_part(make_docx(["坏"]), b"<w:document><w:body><w:p>"), reason.CORRUPT),
        "bit-rot.docx": (_flip_bits(make_docx(["位翻转的文档。"] * 50)), reason.CORRUPT),
        "bomb.docx": (_replace_part(make_docx(["炸弹"]), b"<!-- " + b"0" * (64 * 2**20)), reason.BOMB),
        "password.docx": (_encrypted_office(), reason.ENCRYPTED),
        "noise.txt": (bytes(128 + byte % 128 for byte in _noise(600)), reason.ENCODING),
        "two-encodings.txt": (
            "前半段是一种编码。".encode() * 3 + "后半段是另一种编码。".encode("gb18030") * 3,
            reason.ENCODING,
        ),
        "endless.txt": (b"too long. " * 520_000, reason.TOO_LARGE),
    }


def mixed_corpus(directory: Path, good: int = 280) -> Manifest:
    """Write `good` different small files in all formats and the broken ones into `directory`. Deterministic."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = Manifest({}, {})
    for number in range(good):
        suffix, build = _FORMATS[number % len(_FORMATS)]
        name, code = f"doc-{number:04}{suffix}", f"VH{number:04}"
        title, paragraphs = _content(number, code)
        (directory / name).write_bytes(build(title, paragraphs))
        manifest.good[name] = code
    for name, (data, reason) in broken_files().items():
        (directory / f"broken-{name}").write_bytes(data)
        manifest.broken[f"broken-{name}"] = reason.value
    return manifest


def make_docx(paragraphs: list[str], title: str = "") -> bytes:
    document = Document()
    if title:
        document.add_heading(title, level=1)
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    buffer = BytesIO()
    document.save(buffer)
    return _repacked(buffer.getvalue())


def make_pdf(title: str, paragraphs: list[str]) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont(FONT))
    heading = ParagraphStyle("heading", fontName=FONT, fontSize=18, leading=26)
    body = ParagraphStyle("body", fontName=FONT, fontSize=11, leading=17, spaceAfter=8, wordWrap="CJK")
    buffer = BytesIO()
    story = [Paragraph(title, heading), *(Paragraph(text, body) for text in paragraphs)]
    SimpleDocTemplate(buffer, pagesize=A4, title=title, invariant=1).build(story)
    return buffer.getvalue()


_PLACES = ("上海", "北京", "广州", "成都", "杭州", "西安", "武汉", "长沙", "青岛", "厦门", "昆明")
_GOODS = (
    "电热水壶",
    "空气炸锅",
    "蓝牙耳机",
    "扫地机器人",
    "移动电源",
    "智能手表",
    "台灯",
    "加湿器",
    "电饭煲",
    "吸尘器",
    "投影仪",
    "剃须刀",
    "体重秤",
)
_FACTS = (
    "{goods}的保修期为{a}个月，自签收次日起计算。",
    "{place}仓每天{b}点前的订单当天发出，偏远地区多{c}天。",
    "退货须在{c}天内申请，运费{a}元由{place}售后中心垫付。",
    "{goods}额定功率为{d}瓦，净重{c}.{b}千克。",
    "{place}门店营业到晚上{b}点，周末延长{c}小时。",
    "购买{goods}满{d}元可用{a}元优惠券一张。",
    "{goods}首次使用前请静置{c}小时，再用清水冲洗{c}遍。",
    "发票由{place}分公司开具，{c}个工作日内发到邮箱。",
    "{goods}配件单独出售，起订量为{a}件。",
    "客服在{place}共有{a}人，平均等待{c}分钟。",
)


def _content(number: int, code: str) -> tuple[str, list[str]]:
    pick = random.Random(number)
    place, goods = pick.choice(_PLACES), pick.choice(_GOODS)
    facts = [
        fact.format(
            place=place,
            goods=goods,
            a=pick.randint(2, 60),
            b=pick.randint(1, 9),
            c=pick.randint(2, 15),
            d=pick.randint(100, 2999),
        )
        for fact in pick.sample(_FACTS, 5)
    ]
    paragraphs = [f"本文档编号为 {code}。" + "".join(facts[:3]), "".join(facts[3:])]
    return f"{place}{goods}说明（{number}）", paragraphs


def _text(encoding: str) -> Callable[[str, list[str]], bytes]:
    return lambda title, paragraphs: "\n\n".join([title, *paragraphs]).encode(encoding)


def _markdown(title: str, paragraphs: list[str]) -> bytes:
    return f"# {title}\n\n{paragraphs[0]}\n\n## 补充说明\n\n- {paragraphs[1]}\n".encode()


def _html(title: str, paragraphs: list[str]) -> bytes:
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    head = f"<title>{title}</title><script>var tracker = 'SCRIPT_TEXT';</script>"
    page = f"<head>{head}</head><body><nav>首页 分类</nav><h1>{title}</h1>{body}</body>"
    return f"<!doctype html><html>{page}</html>".encode()


_FORMATS: tuple[tuple[str, Callable[[str, list[str]], bytes]], ...] = (
    (".md", _markdown),
    (".html", _html),
    (".pdf", make_pdf),
    (".docx", lambda title, paragraphs: make_docx(paragraphs, title)),
    (".txt", _text("utf-8")),
    (".md", _markdown),
    (".txt", _text("gb18030")),
    (".txt", _text("utf-16")),
)


def _noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def _zip(parts: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _repacked(docx: bytes) -> bytes:
    """The same parts without the time of day, so that the same content is the same file."""
    with zipfile.ZipFile(BytesIO(docx)) as archive:
        return _zip({name: archive.read(name) for name in archive.namelist()})


def _replace_part(docx: bytes, body: bytes, part: str = "word/document.xml") -> bytes:
    with zipfile.ZipFile(BytesIO(docx)) as archive:
        return _zip({name: body if name == part else archive.read(name) for name in archive.namelist()})


def _flip_bits(docx: bytes) -> bytes:
    """Damage inside the compressed main part: the directory is fine, the content is not."""
    with zipfile.ZipFile(BytesIO(docx)) as archive:
        entry = archive.getinfo("word/document.xml")
        start = entry.header_offset + 60
    damaged = bytearray(docx)
    for offset in range(start, start + 40):
        damaged[offset] ^= 0x5A
    return bytes(damaged)


def _encrypted_office() -> bytes:
    """The container Word writes for a document with a password: OLE with a stream called EncryptedPackage."""
    directory = "EncryptionInfo".encode("utf-16-le") + b"\x00" * 36 + "EncryptedPackage".encode("utf-16-le")
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 504 + directory + _noise(4096)


def _canvas(draw: Callable[[Canvas], None], **options: object) -> bytes:
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1, **options)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _locked_pdf() -> bytes:
    encryption = StandardEncryption("secret", ownerPassword="owner")
    return _canvas(lambda canvas: canvas.drawString(100, 700, "You cannot read this."), encrypt=encryption)


def _scanned_pdf() -> bytes:
    return _canvas(lambda canvas: canvas.rect(100, 100, 300, 400, fill=1))


def _png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
        + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    written = mixed_corpus(target, int(sys.argv[2]) if len(sys.argv) > 2 else 280)
    target.with_suffix(".manifest.json").write_text(json.dumps(asdict(written), ensure_ascii=False, indent=1))
    print(f"{len(written.good)} good and {len(written.broken)} broken files in {target}")

import zipfile
from io import BytesIO

import pytest

from tests.fakes.broken_files import broken_files, make_docx, make_pdf
from voicehelper.documents.failures import failure_reason
from voicehelper.documents.formats import Format, claimed_format
from voicehelper.documents.model import Block, FailureReason, ParsedDocument, ParseLimits
from voicehelper.documents.parsers import parse_document
from voicehelper.documents.tables import guess_header, table_text
from voicehelper.errors import UnprocessableDocument


def parse(text: str, name: str) -> ParsedDocument:
    return parse_document(text.encode(), name)


def texts(document: ParsedDocument) -> list[str]:
    return [block.text for block in document.blocks]


BROKEN = broken_files()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_get_their_reason(name: str) -> None:
    data, reason = BROKEN[name]
    with pytest.raises(UnprocessableDocument) as caught:
        parse_document(data, name)
    assert failure_reason(caught.value) == reason


def test_markdown() -> None:
    source = (
        "---\ntitle: '标题'\ntags: [a]\n---\n# 退款\n\n一般三\n个工作日，详见[这里](http://x.cn)和\nFAQ\npage。\n\n"
        "1. 第一\n2. 第二\n   - 子项\n\n> 引用\n\n```\nif x:\n    y\n```\n\n| 型号 | 容量 |\n|--|--|\n| A | 5 升 |\n\n"
        "硬  \n换行 <b>粗</b> a<br>b <script>evil()</script>尾\n\n<div><script>evil()</script>块</div>\n"
    )
    document = parse(source, "a.md")
    assert document.title == "标题"
    assert document.blocks == (
        Block("退款", 1),
        Block("一般三个工作日，详见这里和FAQ page。"),
        Block("1. 第一"),
        Block("2. 第二"),
        Block("- 子项"),
        Block("引用"),
        Block("if x:\n    y"),
        Block("型号：A，容量：5 升"),
        Block("硬\n换行 粗 a\nb 尾"),
        Block("块"),
    )


def test_html_without_scripts_and_boilerplate() -> None:
    page = (
        "<html><head><title>运费</title><script>evil()</script><style>p{}</style></head><body><nav>首页</nav>"
        "<header><a>商城</a></header><div class='breadcrumb'>首页 &gt; 帮助</div><h1>运费 <small>说明</small></h1>"
        "<p onclick='evil()'>满 <b>99</b>\n 元<br>免运费。<noscript>no</noscript></p>散文<div>一<div>二</div>三</div>"
        "<ol start=3><li>甲</li><li><p>乙</p><ul><li>丙</li></ul></li></ol><p style='display: none'>hidden</p>"
        "<table><tr><th>等级</th><th>门槛</th><th>券</th></tr><tr><td>金卡</td><td>59 元</td><td></td></tr></table>"
        "<table><tr><td>容量</td><td>5 升</td></tr><tr><td>重量</td><td>2 千克</td></tr></table><pre>a\n  b</pre>"
        "<textarea>evil</textarea><!-- evil --><svg><text>evil</text></svg><footer>© evil</footer></body></html>"
    )
    document = parse(page, "a.html")
    assert document.title == "运费"
    assert document.blocks[0] == Block("运费 说明", 1)
    assert texts(document)[1:] == [
        "满 99元\n免运费。",
        "散文",
        "一",
        "二",
        "三",
        "3. 甲",
        "4. 乙",
        "- 丙",
        "等级：金卡，门槛：59 元",
        "容量：5 升\n重量：2 千克",
        "a\n  b",
    ]


def test_html_takes_the_main_part_and_the_declared_charset() -> None:
    page = "<meta charset=gb2312><body><div>侧栏</div><main><p>正文在这里，足够长。</p></main></body>"
    assert texts(parse_document(page.encode("gb18030"), "a.htm")) == ["正文在这里，足够长。"]


@pytest.mark.parametrize("tag", ["div", "span", "li", "table"])
def test_deeply_nested_html_is_no_problem(tag: str) -> None:
    depth = 3000
    assert "深处" in parse(f"<{tag}>" * depth + "深处" + f"</{tag}>" * depth, "a.html").text


def test_plain_text() -> None:
    wrapped = "这是一段被编辑器在四十个字处硬性折行的中文文字它没有在句子结束的地方换行\n而是一直延续到下一行才结束。"
    english = "This paragraph was wrapped by an editor at fifty columns\n"
    english += "and it goes on to a second line, which is now hyphen-\nated."
    source = f"一、总则\n\n{wrapped}\n\n{english}\n\n- 项一\n- 项二\n问：多久？\n答：三天。"
    document = parse(source, "a.txt")
    assert document.blocks[0] == Block("一、总则", 2)
    assert texts(document)[1:] == [
        wrapped.replace("\n", ""),
        english.replace("-\n", "").replace("\n", " "),
        "- 项一",
        "- 项二",
        "问：多久？",
        "答：三天。",
    ]


def test_pdf_joins_lines_and_drops_running_heads() -> None:
    paragraph = "".join(f"第{n}条：容量为5.5升，额定功率1500W，温度范围80至200℃。" for n in range(6))
    document = parse_document(make_pdf("使用说明", [paragraph, "International orders ship fast. " * 12]), "a.pdf")
    assert document.page_count == 1
    assert document.title == "使用说明"
    assert document.blocks[0] == Block("使用说明", 1, 1)
    assert document.blocks[1] == Block(paragraph, 0, 1)
    assert document.blocks[2].text == ("International orders ship fast. " * 12).strip()


def test_pdf_paragraphs_run_over_page_ends() -> None:
    # Every line differs: PDFium takes equal lines in a font that is not embedded for one.
    paragraphs = [
        "".join(f"编号{part}之{n}的机器出厂前经过老化测试，请放心使用。" for n in range(40)) for part in range(4)
    ]
    document = parse_document(make_pdf("手册", paragraphs), "a.pdf")
    assert document.page_count == 3
    assert "".join(texts(document)) == "手册" + "".join(paragraphs)
    assert paragraphs[0] in texts(document)
    assert [block.page for block in document.blocks if block.text.startswith("编号3之0")] == [2]


def test_docx_headings_lists_tables_in_order() -> None:
    from docx import Document

    source = Document()
    source.add_heading("手册", 0)
    source.add_heading("一节", 1)
    source.add_paragraph("第一段")
    table = source.add_table(rows=2, cols=3)
    for cell, text in zip(
        [*table.rows[0].cells, *table.rows[1].cells], ["型号", "容量", "价格", "A", "5 升", "9 元"], strict=True
    ):
        cell.text = text
    source.add_paragraph("甲", style="List Bullet")
    source.add_paragraph("乙", style="List Number")
    source.add_paragraph("丙", style="List Number")
    buffer = BytesIO()
    source.save(buffer)
    document = parse_document(buffer.getvalue(), "a.docx")
    assert document.blocks == (
        Block("手册", 1),
        Block("一节", 1),
        Block("第一段"),
        Block("型号：A，容量：5 升，价格：9 元"),
        Block("- 甲"),
        Block("1. 乙"),
        Block("2. 丙"),
    )


def test_docx_reads_insertions_and_controls_but_no_deletions() -> None:
    body = (
        "<w:p><w:r><w:t>原文</w:t></w:r><w:ins><w:r><w:t>新增</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>删除</w:delText></w:r></w:del><w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>控件里</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    namespace = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    xml = f"<w:document {namespace}><w:body>{body}</w:body></w:document>".encode()
    assert texts(parse_document(_with_main_part(xml), "a.docx")) == ["原文新增", "控件里"]


def test_docx_entities_are_not_expanded() -> None:
    namespace = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    entities = (
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;'><!ENTITY f SYSTEM 'file:///etc/passwd'>]>"
    )
    xml = f"{entities}<w:document {namespace}><w:body><w:p><w:r><w:t>好&b;&f;</w:t></w:r></w:p></w:body></w:document>"
    assert "root:" not in parse_document(_with_main_part(xml.encode()), "a.docx").text


def test_text_above_the_limit_is_refused() -> None:
    with pytest.raises(UnprocessableDocument) as caught:
        parse_document(("字" * 50 + "\n\n").encode() * 10, "a.txt", limits=ParseLimits(max_text_chars=400))
    assert failure_reason(caught.value) == FailureReason.TOO_LARGE


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("a.MD", "text/plain", Format.MARKDOWN),
        ("a", "application/pdf", Format.PDF),
        ("a.unknown", "text/html; charset=gbk", Format.HTML),
        ("a.csv", "text/csv", None),
        ("", "", None),
    ],
)
def test_claimed_format(name: str, content_type: str, expected: Format | None) -> None:
    assert claimed_format(name, content_type) == expected


def test_table_rows_read_on_their_own() -> None:
    assert table_text(["Model", "Price"], [["A", "5"], ["", "6"]]) == "Model: A, Price: 5\nPrice: 6"
    assert table_text(["参数", "值"], [["容量", "5 升"]]) == "容量：5 升"
    assert table_text([], [["a", "b", "c"]]) == "a, b, c"
    assert guess_header([["容量", "5 升"], ["重量", "2 千克"]])[0] == ()
    assert guess_header([["型号", "容量"], ["A", "5 升"]])[0] == ["型号", "容量"]


def _with_main_part(xml: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(make_docx(["x"]))) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(name, xml if name == "word/document.xml" else source.read(name))
    return buffer.getvalue()

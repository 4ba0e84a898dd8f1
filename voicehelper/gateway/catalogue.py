"""Error texts for people, by code and language. English falls back to the error's own words."""

from collections.abc import Iterable

from voicehelper import errors
from voicehelper.documents.model import FailureReason

ZH: dict[int, str] = {
    errors.InvalidInput.code: "请求无效",
    errors.InvalidId.code: "ID 格式不正确",
    errors.MalformedBody.code: "请求体无法解析",
    errors.EmptyFile.code: "文件为空",
    errors.WeakPassword.code: "密码强度不足：至少 8 位，且包含大小写字母和数字",
    errors.ContextTooLong.code: "内容超出了模型的上下文长度",
    errors.Unauthenticated.code: "请先登录",
    errors.InvalidCredentials.code: "用户名或密码错误",
    errors.TokenExpired.code: "登录已过期，请重新登录",
    errors.TokenRevoked.code: "登录已失效，请重新登录",
    errors.Forbidden.code: "没有权限",
    errors.NotFound.code: "未找到",
    errors.UnknownModel.code: "没有这个模型",
    errors.MethodNotAllowed.code: "不支持该请求方法",
    errors.Conflict.code: "与现有数据冲突",
    errors.ConversationBusy.code: "上一个问题仍在回答中",
    errors.VersionConflict.code: "数据已被他人修改，请刷新后重试",
    errors.RequestInProgress.code: "相同幂等键的请求正在处理中",
    errors.PayloadTooLarge.code: "内容过大",
    errors.UnsupportedType.code: "不支持的类型",
    errors.UnprocessableDocument.code: "文档无法读取",
    errors.IdempotencyMismatch.code: "该幂等键已用于另一个请求",
    errors.ContentFiltered.code: "模型提供方拒绝了该内容",
    errors.RateLimited.code: "请求过于频繁，请稍后再试",
    errors.Overloaded.code: "系统繁忙，请稍后再试",
    errors.AccountLocked.code: "登录失败次数过多，请稍后再试",
    errors.BudgetExceeded.code: "本月预算已用完",
    errors.TokensLimited.code: "每分钟的 token 用量超限，请稍后再试",
    errors.VoiceHelperError.code: "服务器内部错误",
    errors.Unavailable.code: "服务暂时不可用，请稍后再试",
    errors.ModelUnavailable.code: "模型暂时不可用，请稍后再试",
    errors.BrokenStream.code: "模型的回答中断了",
    errors.ModelSilent.code: "模型没有响应，请稍后再试",
    errors.DeadlineExceeded.code: "处理超时",
}

ZH_REASONS: dict[str, str] = {
    FailureReason.EMPTY: "文档里没有文字",
    FailureReason.NO_TEXT: "PDF 没有文字层，扫描件需要先做文字识别（OCR）",
    FailureReason.UNSUPPORTED: "暂不支持这种类型的文件",
    FailureReason.MISMATCH: "文件内容与文件名或类型不符",
    FailureReason.CORRUPT: "文件已损坏",
    FailureReason.ENCRYPTED: "文件有密码保护",
    FailureReason.TOO_LARGE: "文档文字过多，超出限制",
    FailureReason.BOMB: "文件解压后大得不合理",
    FailureReason.ENCODING: "无法确定文字编码，请将文件另存为 UTF-8",
    FailureReason.TIMEOUT: "读取文件超时",
    FailureReason.MEMORY: "读取文件占用内存过多",
    FailureReason.CRASH: "文件导致解析程序崩溃",
    FailureReason.WORKER: "处理该文档的进程多次中断",
    FailureReason.INTERNAL: "系统内部错误，文档未能处理",
}
"""Why a document cannot be indexed; in English `documents.failures.MESSAGES`."""

_BY_STATUS: dict[int, str] = {
    400: "请求无效",
    401: "请先登录",
    403: "没有权限",
    404: "未找到",
    409: "与现有数据冲突",
    429: "请求过于频繁，请稍后再试",
    503: "服务暂时不可用，请稍后再试",
}


def text_of(error: errors.VoiceHelperError, locale: str) -> str:
    """The message of `error` in the language of `locale`."""
    if not locale.lower().startswith("zh"):
        return error.message
    if isinstance(error, errors.UnprocessableDocument) and error.details.get("reason") in ZH_REASONS:
        return ZH_REASONS[error.details["reason"]]
    return ZH.get(error.code) or _BY_STATUS.get(error.status) or ZH[errors.VoiceHelperError.code]


def choose_locale(accept_language: str) -> str:
    """`zh-CN` or `en` from an Accept-Language header; Chinese where the header wants neither."""
    for tag in _preferred(accept_language):
        if tag.startswith("zh"):
            return "zh-CN"
        if tag.startswith("en"):
            return "en"
    return "zh-CN"


def _preferred(header: str) -> Iterable[str]:
    ranked = []
    for place, item in enumerate(header[:1000].lower().split(",")):
        tag, _, parameter = item.partition(";")
        weight = _quality(parameter)
        if weight > 0:
            ranked.append((-weight, place, tag.strip()))
    return [tag for _, _, tag in sorted(ranked)]


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0

"""What a vendor's SDK raises, as our errors.

The server's own words stay in the log's exception chain: they may name keys, accounts or prompts. A 401 of the vendor
is our misconfiguration, not the caller's missing token, so it becomes `ModelUnavailable`.

Both official SDKs are generated alike: their errors have the same names and attributes. Which one raised is told by
the attributes, so that nobody has to import an SDK that it does not use.
"""

import aiohttp
import httpx2
import openai

from actors.chat.complaints import complaint, meaning
from voicehelper.errors import BrokenStream, ModelSilent, ModelUnavailable, VoiceHelperError

# The SDK lets transport errors within a stream, and JSON it cannot decode, through as they are; and below it the
# transport some of its own.
TRANSPORT_ERRORS = (httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError)
VENDOR_ERRORS = (openai.OpenAIError, *TRANSPORT_ERRORS, ValueError)


def translated(error: Exception, busy_words: frozenset[str] = frozenset()) -> VoiceHelperError:
    """Our error for what a call raised before the answer began; `busy_words` as in `Complaint`."""
    response = getattr(error, "response", None)
    if response is not None and hasattr(error, "status_code"):
        return meaning(complaint(error.status_code, getattr(error, "body", None), response.headers, busy_words))
    cause = error.__cause__ or error
    if isinstance(cause, httpx2.ReadTimeout | httpx2.WriteTimeout):
        return ModelSilent()
    if isinstance(cause, TRANSPORT_ERRORS) or isinstance(error, openai.APIConnectionError):
        return ModelUnavailable("The model server cannot be reached, or hung up")
    if isinstance(error, openai.APIError) and error.body:
        return meaning(complaint(0, error.body, None, busy_words))
    return ModelUnavailable("The model server sent something that is not a completion")


def broken(error: Exception) -> VoiceHelperError:
    """Our error for what interrupted an answer that had begun."""
    return ModelSilent() if isinstance(error, httpx2.ReadTimeout) else BrokenStream()

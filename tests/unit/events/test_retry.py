import pytest

from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded
from voicehelper.events.fact import UnreadableEvent
from voicehelper.events.retry import Again, Bury, RetryPolicy, after_failure, describe

POLICY = RetryPolicy(max_attempts=5, backoff_s=1.0, outage_s=100.0)


def test_waits_double_up_to_a_minute() -> None:
    policy = RetryPolicy(max_attempts=20)
    steps = [after_failure(ValueError(), attempt, 0.0, policy) for attempt in range(1, 12)]
    waits = [step.wait_s for step in steps if isinstance(step, Again)]
    assert len(waits) == 11
    for wait, nominal in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60], strict=True):
        assert 0.9 * nominal <= wait <= 1.1 * nominal


@pytest.mark.parametrize(
    ("failure", "attempt", "failing_s", "step"),
    [
        (ValueError(), 4, 0.0, Again),
        (ValueError(), 5, 0.0, Bury),
        (InvalidInput(), 5, 0.0, Bury),
        (DeadlineExceeded(), 5, 0.0, Bury),  # of the handler's own work: as likely the event's fault as not
        (ModelUnavailable(), 500, 99.0, Again),
        (ModelUnavailable(), 1, 100.0, Bury),
        (ConnectionError(), 9, 1.0, Again),
        (Overloaded(), 9, 1.0, Again),
        (UnreadableEvent(), 1, 0.0, Bury),
    ],
)
def test_what_follows_a_failure(failure: Exception, attempt: int, failing_s: float, step: type) -> None:
    assert isinstance(after_failure(failure, attempt, failing_s, POLICY), step)


def test_outages_are_not_counted_as_attempts() -> None:
    step = after_failure(ModelUnavailable(), 1, 0.0, POLICY)
    assert isinstance(step, Again)
    assert not step.counted


def test_texts_of_foreign_errors_are_not_kept() -> None:
    assert describe(InvalidInput("Not a cursor of ours")) == "InvalidInput: Not a cursor of ours"
    assert describe(ValueError("王小明 13800138000")) == "ValueError"
    try:
        after_failure(None, 1, None, None)  # type: ignore[arg-type]
    except AttributeError as error:
        assert describe(error).startswith("AttributeError at retry.py:")

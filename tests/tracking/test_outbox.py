"""A tracker that fails stops nothing, is told of once, and gets everything when it is back."""

import pytest

from langmerge.tracking.outbox import Outbox, reason_of
from langmerge.tracking.values import _flat


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_fails_waits_in_its_order_and_is_told_once() -> None:
    clock, warnings, got, attempts = Clock(), [], [], []
    down = True
    outbox = Outbox("mlflow", warnings.extend, clock)

    def delivery(number: int) -> None:
        attempts.append(number)
        if down:
            raise ConnectionError("no answer")
        got.append(number)

    outbox.send(lambda: delivery(1))
    outbox.send(lambda: delivery(2))
    assert attempts == [1]  # left alone for a while
    clock.now = 61.0
    outbox.send(lambda: delivery(3))
    assert attempts == [1, 1]
    assert not outbox.close()
    assert len(warnings) == 1
    assert "mlflow" in warnings[0]
    assert "no answer" in warnings[0]

    down = False
    assert outbox.close()
    assert got == [1, 2, 3]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("GET http://me:hidden@host:5000/api failed\nmore", "GET http://***@host:5000/api failed"),
        ("no user (token: hidden)", "no user (token: ***"),
        ("GET http://me:hid@den@host/a@b", "GET http://***@host/a@b"),
        ("sent Authorization: Bearer hidden to it", "sent Authorization: *** to it"),
        ("sent authorization=Basic hidden", "sent authorization=***"),
        ("Bearer hidden is no token", "Bearer *** is no token"),
        ("{'token': 'hidden', 'user': 'me'}", "{'token': ***, 'user': 'me'}"),
        ("{'Authorization': 'Bearer hidden'}", "{'Authorization': ***}"),
        ("{'Authorization': 'Bearer hidden", "{'Authorization': ***"),
        ('{"user":"me","password":"hidden words"}', '{"user":"me","password":***}'),
        (r'"{\"api_key\": \"hidden\"}"', r'"{\"api_key\": ***'),
        ("at /v1?api_key=hidden", "at /v1?api_key=***"),
        ("", "ValueError"),
    ],
)
def test_a_reason_is_one_line_without_credentials(said: str, shown: str) -> None:
    assert reason_of(ValueError(said)) == shown


def test_parameters_hold_no_credentials() -> None:
    settings = {
        "store": "s3://me:hidden@host/bucket",
        "list": ["http://me:hidden@host"],
        "no": None,
    }
    assert dict(_flat(settings, "")) == {
        "store": "s3://***@host/bucket", "list": '["http://***@host"]',
    }  # fmt: skip


def test_an_interrupt_is_no_failure_of_the_tracker() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Outbox("mlflow", print).send(interrupted)

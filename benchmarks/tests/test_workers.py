"""How the rates of one and two servers are told."""

from benchmarks import results, workers

NAN = float("nan")


def test_the_ratio_is_that_of_two_servers_to_one_with_both_clients() -> None:
    rates = [[100.0], [80.0, 120.0, 100.0], [150.0], [NAN]]
    turns = dict(zip((*workers.WAYS, workers.SAMBA), rates, strict=True))
    text = results.put("# Results\n", workers.TITLE, workers.told({"echoes": turns}, 3))
    [(heads, [row])] = results.tables(text, workers.TITLE)
    assert heads == workers.HEADS
    assert row == ["echoes", "100", "100", "150", "1.50", "-"]

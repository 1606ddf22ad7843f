"""What `make conformance` accepts of a transport."""

from tests.conformance.report import Outcome, not_accepted, table

OK = Outcome("OK", "OK")


def test_what_the_reference_does_no_better_is_accepted():
    reference = {"3.2": Outcome("NON-STRICT", "OK"), "7.1.6": Outcome("INFORMATIONAL", "INFORMATIONAL"), "9.1": OK}
    assert not_accepted(reference, reference) == []
    assert not_accepted(dict.fromkeys(reference, OK), reference) == []


def test_what_the_reference_does_better_is_not():
    side = {"10.1.1": Outcome("NON-STRICT", "OK"), "3.2": Outcome("OK", "UNCLEAN"), "7.1": Outcome("OK", "WRONG CODE")}
    assert not_accepted(side, dict.fromkeys(side, OK)) == ["3.2", "7.1", "10.1.1"]


def test_what_failed_is_not_accepted_even_if_the_reference_failed_too():
    side = {"6.1": Outcome("FAILED", "OK"), "6.2": Outcome("OK", "FAILED BY CLIENT")}
    assert not_accepted(side, side) == ["6.1", "6.2"]


def test_a_case_that_the_reference_did_not_run_must_be_in_order():
    assert not_accepted({"1.1": Outcome("NON-STRICT", "OK"), "1.2": OK}, {}) == ["1.1"]


def test_the_table_counts_by_group_and_by_the_worse_of_behaviour_and_closing():
    sides = {"hub": {"1.1.1": OK, "1.1.2": Outcome("OK", "UNCLEAN"), "10.1.1": OK}, "library": {"1.1.1": OK}}
    assert table(sides).splitlines() == [
        "cases        hub              library",
        "1.* framing  1 OK, 1 UNCLEAN  1 OK",
        "10.* other   1 OK",
    ]

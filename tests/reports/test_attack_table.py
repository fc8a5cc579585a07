from dataclasses import replace

import made_up_bounds
import made_up_report

from nmcheck.reports.attack_table import attack_tables
from nmcheck.reports.layout import draw, text_of
from nmcheck.reports.table import analysis_parts


def drawn(entry) -> str:
    return draw(attack_tables(entry), 160, color=False, encoding="utf-8")


def test_attacks_stand_side_by_side_with_their_reasons():
    text = drawn(made_up_bounds.attacked_entry())
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.split()}
    assert lines["fgs"] == ["fgs", "2.81", "1.19", "98", "%", "20", "0.015"]
    assert lines["ddn"][4:6] == ["%", "79"]
    assert lines["fgv"][1:3] == ["–", "–"]
    assert "it succeeded on none" in text
    assert "pixels kept in 0 to 1" in " ".join(text.split())


def test_the_heat_map_has_a_row_for_every_class_left():
    text = drawn(made_up_bounds.attacked_entry())
    rows = [line.split() for line in text.split("Classes reached by ddn")[1].splitlines()]
    header = next(row for row in rows if row[:1] == ["from"])
    assert header == ["from", "3", "4", "5", "7", "8", "9"]
    assert ["3", "·", "·", "8", "·", "4", "·"] in rows
    assert ["7", *"······"] in rows


def test_steps_of_the_iterative_perturbation():
    text = drawn(made_up_bounds.attacked_entry())
    rows = [line.split() for line in text.split("Iterative perturbation")[1].splitlines()]
    assert ["2", "96", "0.0450", "100", "%"] in rows
    assert ["3", "0", "–", "–"] in rows
    assert "none was found" in text


def test_kappa_of_each_layer_from_both_sides():
    text = drawn(made_up_bounds.attacked_entry())
    rows = [line.split() for line in text.split("Kappa of each layer")[1].splitlines()]
    assert ["node_LRN_7", "97", "0.0976", "3.90", "0", "41.2", "31"] in rows
    assert ["node_relu_15", "97", "1.34", "6.90", "0", "–", "0"] in rows
    assert "the thesis has no formula for this operator" in " ".join(text.split())
    only = replace(made_up_bounds.attacked_entry(), attack={}, iterated=())
    assert "Adversarial" not in drawn(only)
    assert "Kappa of each layer" in drawn(only)


def test_nothing_is_said_of_attacks_that_were_not_run():
    report = made_up_report.report()
    assert report.bounds
    assert "Adversarial" not in text_of(analysis_parts, report)
    assert "Adversarial" in text_of(analysis_parts, replace(report, bounds=(made_up_bounds.attacked_entry(),)))


def test_without_correct_images_there_is_still_a_table():
    entry = made_up_bounds.attacked_entry()
    wrong = replace(entry, per_sample=tuple(replace(sample, correct=False) for sample in entry.per_sample))
    assert "Over the 0 correctly classified images" in drawn(wrong)

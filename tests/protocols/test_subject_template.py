"""Templates of subjects: which token stands where, and what is said of one that is none."""

import pytest

from protocols.subject_template import SubjectTemplate


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("fixed", "fixed"),
        ("{{subject}}", "sensors.kitchen.temp"),
        ("{{token(1)}}-{{ token(-1) }}", "sensors-temp"),
        ("{{tokens(2)}}", "kitchen.temp"),
        ("{{tokens(-2)}}", "kitchen.temp"),
        ("{{token(9)}}x{{token(-9)}}{{tokens(9)}}", "x"),
        ("{{partition(1)}}", "0"),
        ("", ""),
    ],
)
def test_template_makes_a_name(text, made):
    assert SubjectTemplate(text).make("sensors.kitchen.temp") == made


@pytest.mark.parametrize(
    "text",
    [
        *("{", "}", "{}", "{1}", "{subject}", "{{subject", "{{subject}}}", "{{}}"),
        *(
            "{{tag}}",
            "{{token}}",
            "{{token()}}",
            "{{token(0)}}",
            "{{token(1.5)}}",
            "{{token(1,2)}}",
            "{{tokens(x)}}",
            "$1",
        ),
    ],
)
def test_what_is_no_template_is_said(text):
    with pytest.raises(ValueError, match=r"\{\{|\*"):
        SubjectTemplate(text)


def test_other_values_stand_beside():
    template = SubjectTemplate("{{tag}}/{{field}}", "tag", ("field",))
    assert template.used == {"field"}
    assert template.make("a.b", {"field": "f"}) == "a.b/f"
    assert template.make("a.b") == "a.b/"

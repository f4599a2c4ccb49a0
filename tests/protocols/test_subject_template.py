"""Templates of subjects: which token stands where, and what is said of one that is none."""

import pytest

from protocols.subject_template import SubjectTemplate


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("fixed", "fixed"),
        ("{subject}", "sensors.kitchen.temp"),
        ("{1}-{-1}", "sensors-temp"),
        ("{2-}", "kitchen.temp"),
        ("{-2-}", None),
        ("{9}x{-9}", "x"),
        ("{{{2}}}", "{kitchen}"),
        ("", ""),
    ],
)
def test_template_makes_a_name(text, made):
    if made is None:
        with pytest.raises(ValueError, match="is none of"):
            SubjectTemplate(text)
    else:
        assert SubjectTemplate(text).make("sensors.kitchen.temp") == made


@pytest.mark.parametrize("text", ["{", "}", "{}", "{0}", "{x}", "{subject", "{1", "{1.5}", "{tag}"])
def test_what_is_no_template_is_said(text):
    with pytest.raises(ValueError, match=r"is none of \{subject\}, \{1\}, \{-1\} and \{2-\}"):
        SubjectTemplate(text)


def test_other_values_stand_beside():
    template = SubjectTemplate("{tag}/{field}", "tag", ("field",))
    assert template.used == {"field"}
    assert template.make("a.b", {"field": "f"}) == "a.b/f"
    assert template.make("a.b") == "a.b/"

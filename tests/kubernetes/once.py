"""Tests of which the form of the gateway does not matter: where all tests run in both forms, they run in one."""

import os

import pytest

from gateway.version import form_name

IS_SECOND_TIME = form_name() == "pure" and os.environ.get("LEAFGATE_REQUIRE_PEERS") == "1"
FORM_MATTERS_NOT = pytest.mark.skipif(IS_SECOND_TIME, reason="the form does not matter: done with the compiled one")

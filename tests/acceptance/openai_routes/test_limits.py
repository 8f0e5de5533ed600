"""The real openai client meets the limits of its tenant."""

import openai
import pytest
from openai import OpenAI

from tests.acceptance.openai_calls import HELLO, chat
from tests.stack import Stack


def test_a_limit_is_an_error_that_the_client_knows_and_waits_out(stack: Stack) -> None:
    stack.command("api.tenants", "add", "limited")
    stack.command("api.tenants", "limits", "limited", "--requests-per-minute", "2")
    shown = stack.command("api.tenants", "limits", "limited", "--queued-tokens", "9000")
    assert "requests_per_minute\t2" in shown and "queued_jobs\tnone" in shown
    key = stack.command("api.tenants", "keys", "create", "limited", "mine").strip()
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=key, max_retries=0) as other:
        told = other.chat.completions.with_raw_response.create(
            model="echo", messages=HELLO, max_tokens=8
        )
        assert told.headers["x-ratelimit-limit-requests"] == "2"
        assert told.headers["x-ratelimit-remaining-requests"] == "1"
        chat(other, max_tokens=8)
        with pytest.raises(openai.RateLimitError) as refused:
            chat(other, max_tokens=8)
        assert refused.value.code == "rate_limit_exceeded"
        assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 61
        assert refused.value.response.headers["x-should-retry"] == "true"
    used = stack.command("api.tenants", "usage", "limited").splitlines()
    assert used[0].startswith("tenant,day,model,succeeded")
    assert used[1].startswith("limited,20") and used[1].split(",")[2:4] == ["echo@1", "2"]
    audit = stack.command("api.tenants", "audit", "--tenant", "limited")
    assert "tenant.limits" in audit and key not in audit

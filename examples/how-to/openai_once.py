"""The openai SDK, unmodified, over `resilience.install()`: one retry loop, and the SDK's own exceptions."""

import tempfile
from pathlib import Path

import openai

import resilience
from resilience.testing import fake_provider

LLM = """\
version: 1
provider: llm
match: {hosts: [api.llm.example]}
operations:
  chat: {method: POST, path: /chat/completions, repeatable: true}
retry: {max_attempts: 4, backoff: {initial: 10ms, max: 10ms}}
"""


def requests_for(script: str, *, installed: bool) -> int:
    """How many requests one call of the SDK becomes when the provider answers so."""
    with tempfile.TemporaryDirectory() as directory:
        policy = Path(directory) / "llm.yaml"
        policy.write_text(LLM)
        with fake_provider(policy, script=script) as provider:
            if installed:
                host = provider.url.removeprefix("http://")
                settings = {"version": 1, "policies": [str(policy)], "providers": {"llm": {"hosts": [host]}}}
                resilience.install(settings)
            try:
                with openai.OpenAI(api_key="sk-none", base_url=provider.url) as client:
                    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
            except openai.APIError as error:
                print(f"{script:<13} installed={installed!s:<5}", type(error).__name__, end=", ")
            finally:
                resilience.uninstall()
            return len(provider.requests)


def main() -> None:
    """Throttled for ever, failing for ever, cut off for ever."""
    for script in ("429 ...", "500 ...", "drop ..."):
        for installed in (False, True):
            print(requests_for(script, installed=installed), "requests")


if __name__ == "__main__":
    main()

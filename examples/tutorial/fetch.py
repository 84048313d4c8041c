"""A plain httpx program: ask a search API one question and print what comes back."""

import os

import httpx


def main() -> None:
    """Search once."""
    base = os.environ.get("ANAKIN_URL", "https://api.anakin.io")
    with httpx.Client(base_url=base, headers={"X-API-Key": "ak-your-key-here"}) as client:
        answer = client.post("/v1/search", json={"prompt": "httpx"})
        answer.raise_for_status()
        print(f"{len(answer.content)} bytes of results")


if __name__ == "__main__":
    main()

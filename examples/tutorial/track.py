"""A plain httpx program: where is parcel 42?"""

import os

import httpx


def main() -> None:
    """Ask once."""
    with httpx.Client(base_url=os.environ["PARCELS_URL"]) as client:
        answer = client.get("/v1/parcels/42")
        answer.raise_for_status()
        print(f"parcel 42 is {answer.json()['state']}")


if __name__ == "__main__":
    main()

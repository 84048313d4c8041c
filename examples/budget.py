"""A plain httpx program: fifty calls at once to a provider that is paid for each of them."""

import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

URL = os.environ.get("TECHNOLOGYCHECKER_URL", "https://api.technologychecker.io")


def main() -> int:
    """Ten scans for five credits, forty lookups for one; say what came of them."""
    with httpx.Client(base_url=URL, headers={"Authorization": "Bearer tapi_test_demo"}) as client:

        def look_up(number: int) -> str:
            if number % 5 == 0:
                answer = client.post("/v1/technology-lookup-live", json={"url": f"https://{number}.example"})
            else:
                answer = client.get(f"/v1/domain/{number}.example")
            return f"{answer.status_code} {answer.reason_phrase}"

        with ThreadPoolExecutor(50) as pool:
            statuses = Counter(pool.map(look_up, range(50)))
    for status, count in sorted(statuses.items()):
        print(f"  {count:2} x {status}")
    return 0 if set(statuses) <= {"200 OK"} else 1


if __name__ == "__main__":
    sys.exit(main())

"""A plain httpx program: submit a page to be scraped, wait for the job, print the result.

It knows nothing of any policy. It fails at the first answer that is not what it hoped for, as most programs do.
"""

import os
import time

import httpx


def main() -> None:
    """Scrape one page."""
    base = os.environ.get("ANAKIN_URL", "https://api.anakin.io")
    key = os.environ.get("ANAKIN_API_KEY", "ak-your-key-here")
    with httpx.Client(base_url=base, headers={"X-API-Key": key}) as client:
        submitted = client.post("/v1/url-scraper", json={"url": "https://example.com"})
        submitted.raise_for_status()
        job_id = submitted.json()["jobId"]
        print(f"job {job_id} was accepted")
        for _ in range(30):
            job = client.get(f"/v1/url-scraper/{job_id}").raise_for_status().json()
            if job["status"] in {"completed", "failed"}:
                break
            time.sleep(1)
        print(f"job {job_id} is {job['status']}")


if __name__ == "__main__":
    main()

"""Ask a policy what an answer means, without sending anything."""

import resilience


def main() -> None:
    """The three meanings that 402 has at one provider."""
    policy = resilience.load_policy("omniscrape")
    for code in ("MONTHLY_QUOTA_EXCEEDED", "PROXY_LOCKED", None):
        verdict = policy.classify(method="POST", url="/v1/scrape", status=402, body={"success": False, "code": code})
        print(code, verdict.category, verdict.rule, verdict.retryable)


if __name__ == "__main__":
    main()

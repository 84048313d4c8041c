"""Writes the table of the categories from the table that the classifier and the retries use."""

from __future__ import annotations

from pathlib import Path

import mkdocs_gen_files

from resilience._categories import TREATMENTS, Resend, category_of_status

PAGE = "reference/categories.md"
SENT_AGAIN = {
    Resend.NEVER: "no",
    Resend.ANY: "yes, any request: it was not processed",
    Resend.DOCUMENTED: "yes, any request, where a rule of the policy speaks; else what may be repeated",
    Resend.REPEATABLE: "what may be repeated, and what never left",
}
INTRO = """\
# Categories

What an answer can mean: a closed set. A rule of a policy names the category; where no rule speaks, the status does, and
for an answer that never came the kind of error. A rule's `retryable` overrides whether such an answer is worth another
attempt; which requests may then be sent again stays as it stands here.

| Category | Whose fault | Sent again | By status alone |
|---|---|---|---|
"""
OUTRO = """
A request **may be repeated** when its method is idempotent (RFC 9110 section 9.2.2), or its operation is declared
`repeatable`, or an idempotency key goes with it, or the call says so. A request **never left** when connecting, the
proxy, TLS or the connection pool failed. A certificate that is wrong stays wrong: that is `network_error`, and not
retried. Nor is a request that the HTTP library refused to send: that is `invalid_request`.

Any other 4xx is `invalid_request`, any other 5xx `server_error`, and everything below 400 `success`.
"""


def statuses(category: str) -> str:
    """The statuses that mean this category where no rule speaks, without those that every other 4xx or 5xx shares."""
    own = [status for status in range(400, 600) if category_of_status(status) == category]
    others = {category_of_status(499), category_of_status(599)}
    if category in others:
        own = [status for status in own if status in {501, 505}]
    return ", ".join(str(status) for status in own)


rows = [
    f"| `{category}` | {treatment.fault} | {SENT_AGAIN[treatment.resend]} | {statuses(category)} |"
    for category, treatment in TREATMENTS.items()
]
with mkdocs_gen_files.open(PAGE, "w") as file:
    file.write(INTRO + "\n".join(rows) + "\n" + OUTRO)
mkdocs_gen_files.set_edit_path(PAGE, Path("_generate") / Path(__file__).name)

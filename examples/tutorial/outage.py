"""How would a thousand calls get through ten minutes of maintenance? All the waiting, in a moment.

An argument is the policy file, if not ./parcels.yaml.
"""

import sys
from collections import Counter

from resilience.simulate import Answer, Request, Simulation


def provider(_request: Request, now: float) -> Answer:
    """Down from the first minute to the eleventh."""
    if 60 <= now < 660:
        return Answer(503, {"Content-Type": "text/plain"}, b"Back soon.")
    return Answer(200, {"Content-Type": "application/json"}, b'{"ok": true, "state": "on its way"}')


def main() -> None:
    """One call a second, for 1000 seconds."""
    policy = sys.argv[1] if len(sys.argv) > 1 else "./parcels.yaml"
    simulation = Simulation([policy], provider, seed=1)
    url = "https://api.parcels.example/v1/parcels/42"
    calls = [simulation.call("GET", url, at=second) for second in range(1000)]
    simulation.run()

    statuses = Counter(call.answer.status_code for call in calls if call.answer)
    requests = sum(len(call.trail.attempts) for call in calls if call.trail)
    print(f"{statuses[200]} calls succeeded, {statuses[503]} failed; {requests} requests in {simulation.now:.0f} s")


if __name__ == "__main__":
    main()

"""A periodic policy and how far an account has come, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from reconciler.providers.base import Allocation, Allowance
from reconciler.state.periodic import WEIGHTS, Balance, Terms, shown

_HEADINGS = {
    "policy_found": "Policy Found",
    "source": "Source",
    "period_name": "Period",
    "limit_type": "Limit Type",
    "tres_billing": "TRES Billing",
    "weights": "Billing Weights",
    "grace_ratio": "Grace Ratio",
    "fairshare": "Fairshare",
    "threshold": "Threshold",
    "usage": "Live Usage",
    "last_reset": "Last Reset",
    "next_reset": "Next Reset",
}


def rows(allocation: Allocation | None, allowance: Allowance | None) -> list[tuple[str, str]]:
    """Headings and texts."""
    terms = allocation.terms if allocation else None
    if allocation is None or terms is None:
        return [("Policy Found", "No")]
    found = facts(allocation, allowance)
    told = {**found, **_in_words(found, allowance)}
    listed = [(heading, str(told.get(name) or "(none)")) for name, heading in _HEADINGS.items() if name in told]
    carried = f"carried over from {terms.span.previous}" if terms.span.previous else "carried over"
    return listed + [
        (
            f"Limit {name}",
            f"{amount(b.base)} + {amount(b.carried)} {carried} ({amount(b.previous)} used) = {amount(b.total)}",
        )
        for name, b in terms.balances.items()
    ]


def facts(allocation: Allocation | None, allowance: Allowance | None) -> dict[str, object]:
    """Keys as the portal's own messages have them; amounts as decimal texts in the portal's units."""
    terms = allocation.terms if allocation else None
    if allocation is None or terms is None:
        return {"policy_found": False}
    rules, span = terms.rules, terms.span
    found: dict[str, object] = {
        "policy_found": True,
        "uuid": rules.uuid,
        "source": rules.source,
        "period": span.kind,
        "period_name": str(span),
        "limit_type": rules.limit_type,
        "tres_billing_enabled": rules.billing,
        "tres_billing_weights": {n: amount(w) for n, w in (rules.weights or WEIGHTS).items()},
        "grace_ratio": amount(rules.grace),
        "carryover_enabled": rules.carryover,
        "carryover_factor": amount(rules.factor * 100),
        "raw_usage_reset": rules.reset,
        "carryover_details": balances(terms),
        "fairshare": terms.fairshare,
        "last_reset": allocation.past.renewed,
        "next_reset": str(span.following.start) if rules.reset and span.following else "",
    }
    if allowance is None:
        return found
    unit = allowance.unit
    return found | {
        "limits": dict(allowance.limits),
        "qos_threshold": {unit: allowance.threshold} if unit else {},
        "grace_limit": {unit: allowance.grace} if unit else {},
        "current_usage": {unit: allowance.used} if unit and allowance.used is not None else {},
    }


def balances(terms: Terms) -> dict[str, object]:
    """Each component's amounts, as the portal's own message has them."""
    return {
        "carryover_applied": any(b.carried for b in terms.balances.values()),
        "previous_period": str(terms.span.previous or ""),
        "per_component": {name: balance(b) for name, b in terms.balances.items()},
    }


def balance(one: Balance) -> dict[str, str]:
    """One component's."""
    return {
        "base": amount(one.base),
        "previous_usage": amount(one.previous),
        "unused": amount(one.unused),
        "carryover_cap": amount(one.cap),
        "carryover": amount(one.carried),
        "total": amount(one.total),
    }


def amount(number: Fraction | None) -> str:
    """At most six decimals; empty where there is none."""
    return "" if number is None else shown(number)


def _in_words(found: Mapping[str, object], allowance: Allowance | None) -> dict[str, str]:
    weights = found["tres_billing_weights"]
    told = {
        "policy_found": "Yes",
        "period_name": f"{found['period_name']} ({found['period']})",
        "tres_billing": "Enabled" if found["tres_billing_enabled"] else "Disabled",
        "weights": ", ".join(f"{n}={w}" for n, w in weights.items()) if isinstance(weights, dict) else "",
    }
    if allowance is not None and allowance.unit:
        unit = allowance.unit
        beyond = "no grace limit" if allowance.grace is None else f"blocked from {allowance.grace}"
        told["threshold"] = f"{allowance.threshold} {unit}-minutes, {beyond}"
        known = f"{allowance.used} {unit}-minutes" if allowance.used is not None else "not asked for"
        told["usage"] = f"unknown: {allowance.unknown}" if allowance.unknown else known
    return told

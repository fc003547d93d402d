"""The portal of one offering: token, role, clocks, encryption, components, orders."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.config import Config, Offering
from reconciler.config.secrets import unencrypted
from reconciler.cycle.components import OfferingComponents
from reconciler.desired.accounts import top
from reconciler.errors import DeniedError, ReconcileError
from reconciler.providers.finding import Finding, Level, asked
from reconciler.providers.registry import backend_of
from reconciler.providers.waldur.portal import WaldurPortal, connected
from reconciler.state.kinds import KINDS

_SKEW = 60  # seconds
_OWNER = "Make the token's user an owner of the provider organization in Waldur."


def findings(offering: Offering, config: Config) -> Iterator[Finding]:
    """All of it; of a portal that does not answer no more than that."""
    subject = f"offering {offering.name}"
    yield Finding(subject, "settings", Level.OK, _settings(offering))
    if offering.from_file:
        return
    yield _encryption(subject, offering)
    portal = connected(offering, config)
    answer = asked(subject, "Waldur", portal.source.ping)
    yield answer
    yield _clock(subject, portal)
    if not answer.ok:
        return
    yield _role(subject, offering, portal)
    if offering.backend_components:
        yield _components(subject, offering, config)
    yield asked(subject, "orders", lambda: _orders(portal))


def _settings(offering: Offering) -> str:
    settings = offering.backend_settings
    customer, project, allocation = settings.prefixes
    parts = [
        f"orders {offering.order_backend or 'off'}, members {offering.membership_backend or 'off'}, "
        f"usage {offering.reporting or 'off'}"
    ]
    if offering.cluster_backend:
        shape = backend_of(offering.cluster_backend).shape
        above = top(settings, shape)
        name = settings.cluster_name or offering.cluster_name or "the only one"
        parts += [
            f"cluster {name}" + (f", below account {above!r}" if above else ""),
            f"prefixes {customer!r}, {project!r}, {allocation!r}",
        ]
        if KINDS[shape.account].refers:
            parts.append(
                f"QoS {settings.qos_default} (slowed down: {settings.qos_downscaled or 'none'}, "
                f"paused: {settings.qos_paused or 'none'})"
            )
    return "; ".join(parts)


def _encryption(subject: str, offering: Offering) -> Finding:
    if host := unencrypted(offering.waldur_api_url):
        text = f"plain http to {host}: whoever is on the way reads the token"
        return Finding(subject, "encryption", Level.WARNING, text, "Use https:// in waldur_api_url.")
    if not offering.waldur_api_url.startswith("https://"):
        return Finding(subject, "encryption", Level.OK, "plain http, within this host")
    if not offering.verify_ssl:
        text = "certificates are not checked (verify_ssl: false): anybody on the way can be Waldur"
        hint = "Trust the authority instead: ca_bundle: /path/of/its/certificates.pem"
        return Finding(subject, "encryption", Level.WARNING, text, hint)
    trusted = f"authorities of {offering.ca_bundle}" if offering.ca_bundle else "the usual authorities"
    return Finding(subject, "encryption", Level.OK, f"https, certificates are checked against {trusted}")


def _clock(subject: str, portal: WaldurPortal) -> Finding:
    ahead = portal.client.ahead
    if ahead is None:
        return Finding(subject, "clock", Level.WARNING, "not compared: Waldur told no time", "It comes with an answer.")
    if abs(ahead) > _SKEW:
        text = f"this host is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} Waldur"
        hint = "Set the clock (chronyc tracking, timedatectl): usage is told by month, memberships end by the second."
        return Finding(subject, "clock", Level.WARNING, text, hint)
    return Finding(subject, "clock", Level.OK, f"within {_SKEW} s of Waldur's")


def _role(subject: str, offering: Offering, portal: WaldurPortal) -> Finding:
    try:
        portal.members.probe()
    except DeniedError:
        if offering.order_backend:
            text = "the token may not read project_permissions, so it cannot approve orders either"
            return Finding(subject, "role", Level.ERROR, text, _OWNER)
        text = "the token may not read project_permissions: members are read one resource at a time"
        return Finding(subject, "role", Level.WARNING, text, _OWNER)
    except ReconcileError as error:
        return Finding(subject, "role", Level.ERROR, error.message, error.hint)
    return Finding(subject, "role", Level.OK, "owner of the provider: project_permissions can be read")


def _components(subject: str, offering: Offering, config: Config) -> Finding:
    try:
        plan = OfferingComponents(config, offering).plan()
    except ReconcileError as error:
        return Finding(subject, "components", Level.ERROR, error.message, error.hint)
    different = [f"{c.address.key[1]} ({_difference(c.before, c.after)})" for c in plan.changes]
    only = [note.address.key[1] for note in plan.warnings if "--delete" in note.text]
    if not different and not only:
        return Finding(subject, "components", Level.OK, f"as in the file: {', '.join(offering.backend_components)}")
    text = f"differ from the file: {', '.join(different)}" if different else "as in the file"
    text += f"; only in Waldur: {', '.join(only)}" if only else ""
    if not different:
        return Finding(subject, "components", Level.OK, text)
    return Finding(subject, "components", Level.WARNING, text, "See reconcile components plan.")


def _difference(before: object, after: object) -> str:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "missing in Waldur"
    return ", ".join(sorted(k for k in after if before.get(k) != after[k])) or "changed"


def _orders(portal: WaldurPortal) -> str:
    counted = portal.orders.open()
    return ", ".join(f"{number} {state}" for state, number in sorted(counted.items())) or "none open"

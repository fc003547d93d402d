"""What the tests of DWDI share: an offering that reports from the stand-in, and resources of it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from reconciler.config import Config
from reconciler.providers.dwdi import DwdiSource, source
from reconciler.providers.usage import Metered
from reconciler.state.facts import Resource
from reconciler.state.period import Period
from reconciler.state.usage import Accounted, Used
from tests.conftest import offering
from tests.standin.portal import uid
from tests.standin.warehouse import CLIENT, SECRET, Warehouse

NOVEMBER = Period(2026, 11)
NODE = {"node_hours": {"measured_unit": "node-hours"}}


def config(
    warehouse: Warehouse,
    backend: str = "cscs-dwdi-compute",
    components: dict[str, Any] | None = None,
    *,
    retries: int = 0,
    timeout: int = 10,
    verify_ssl: bool = True,
    **settings: Any,
) -> Config:
    given = {
        "cscs_dwdi_api_url": warehouse.url,
        "cscs_dwdi_client_id": CLIENT,
        "cscs_dwdi_client_secret": SECRET,
        "cscs_dwdi_oidc_token_url": warehouse.token_url,
        "storage_filesystem": "capstor",
        "storage_data_type": "store",
        **settings,
    }
    one = offering(
        "http://waldur.invalid",
        order_processing_backend="slurm",
        membership_sync_backend="slurm",
        reporting_backend=backend,
        backend_settings=given,
        backend_components=NODE if components is None else components,
        verify_ssl=verify_ssl,
    )
    return Config.model_validate({"offerings": [one], "reconcile": {"http_retries": retries, "http_timeout": timeout}})


class Reader:
    """A source of usage and the offering it is of."""

    def __init__(
        self, warehouse: Warehouse, *arguments: Any, clock: Callable[[], float] | None = None, **more: Any
    ) -> None:
        self.config = config(warehouse, *arguments, **more)
        offered = self.config.offerings[0]
        self.components = offered.backend_components
        self.source: DwdiSource = source(offered, self.config, **({"clock": clock} if clock else {}))

    def metered(self, backend_id: str, cluster: str = "Daint", uuid: str = "") -> Metered:
        return Metered(resource(backend_id, cluster, uuid), self.components)

    def read(self, *backend_ids: str, period: Period = NOVEMBER, cluster: str = "Daint") -> Accounted:
        return self.source.read(period, [self.metered(b, cluster) for b in backend_ids])

    def one(self, backend_id: str, **more: Any) -> Used:
        return self.read(backend_id, **more).used[uid("resource", backend_id)]


def resource(backend_id: str, cluster: str = "Daint", uuid: str = "") -> Resource:
    return Resource(
        uuid=uuid or uid("resource", backend_id),
        name=backend_id,
        slug=backend_id,
        state="OK",
        backend_id=backend_id,
        project_uuid=uid("project"),
        customer_uuid=uid("customer"),
        offering_backend_id=cluster,
    )


def told(accounted: Accounted, backend_id: str) -> Used:
    return accounted.used[uid("resource", backend_id)]


def exactly(**amounts: str) -> dict[str, Fraction]:
    return {name: Fraction(text) for name, text in amounts.items()}

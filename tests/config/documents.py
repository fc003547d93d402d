"""Configuration files as the agents wrote them, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.config import load
from reconciler.errors import ConfigError

SITE_AGENT_0_5_6 = """\
sentry_dsn: ""
timezone: Europe/Tallinn
offerings:
  - name: "Example SLURM Offering"
    waldur_api_url: "http://localhost:8081/api/"
    waldur_api_token: "secret-token"
    waldur_offering_uuid: "5a3f6973-5556-42c8-bbc2-a3abbefeeb7f"
    mqtt_enabled: true
    websocket_use_tls: true
    backend_type: "slurm"
    backend_settings:
      default_account: "root"
      customer_prefix: "hpc_"
      project_prefix: "hpc_"
      allocation_prefix: "hpc_"
      qos_downscaled: "limited"
      qos_paused: "paused"
      qos_default: "normal"
      enable_user_homedir_account_creation: true
      homedir_umask: "0700"
    backend_components:
      cpu:
        measured_unit: "k-Hours"
        unit_factor: 60000
        accounting_type: "usage"
        label: "CPU"
      mem:
        limit: 10
        measured_unit: 'gb-Hours'
        unit_factor: 61440
        accounting_type: usage
        label: RAM
  - name: "Example MOAB Offering"
    waldur_api_url: "http://localhost:8081/api/"
    waldur_api_token: "secret-token"
    waldur_offering_uuid: "6aa5d741cbf64801ad996cb19ed4ea28"
    backend_type: "moab"
    backend_settings:
      default_account: root
      customer_prefix: "c_"
      project_prefix: "p_"
      allocation_prefix: "a_"
      enable_user_homedir_account_creation: true
    backend_components:
      deposit:
        measured_unit: 'EUR'
        accounting_type: limit
        label: Deposit (EUR)
"""

# every key of today's agents, and those that only their documents know
EVERY_KEY = """\
sentry_dsn: x
timezone: UTC
elastic_apm_server_url: x
global_proxy: x
log_level: INFO
reporting_periods: 2
expose_backend_error_details: true
log_shipping: {enabled: false}
event_processing: {enabled: true}
observable_object_types: [RESOURCE_PERIODIC_LIMITS_UPDATE]
offerings:
  - name: New
    waldur_api_url: https://waldur.example.com
    waldur_api_token: secret-token
    waldur_offering_uuid: 5a3f6973555642c8bbc2a3abbefeeb7f
    order_processing_backend: slurm
    membership_sync_backend: slurm
    reporting_backend: cscs-dwdi-compute
    username_management_backend: base
    stomp_enabled: true
    stomp_membership_sync_enabled: false
    stomp_ws_host: x
    stomp_ws_port: 443
    stomp_ws_path: /x
    websocket_use_tls: true
    oidc_token_url: https://x
    oidc_client_id: x
    oidc_client_secret: x
    resource_import_enabled: true
    username_reconciliation_enabled: true
    verify_ssl: false
    omit_anomalous_usage_components: true
    backend_settings:
      account_prefix: waldur_
      cpu_unit_factor: 60000
      mem_unit_factor: 61440
      gpu_unit_factor: 60
      cluster_name: c1
      slurm_bin_path: /opt/slurm/bin
      root_account: top
      default_account: root
      default_partition: main
      enforce_offering_partitions: true
      default_account_policy: none
      qos_management: {enabled: true}
      qos_enforcement_enabled: true
      enforce_offering_qos: true
      soft_delete: true
      check_backend_id_uniqueness: true
      check_all_offerings: true
      backend_id_max_retries: 50
      homedir_base_path: /home
      default_homedir_umask: "0077"
      homedir_quota: {}
      project_directory: {}
      ldap: {}
      execution_mode: cli
      rest_api: {}
      periodic_limits:
        enabled: true
        emulator_mode: false
        emulator_base_url: http://localhost:8080
        limit_type: MaxTRESMins
        tres_billing_enabled: true
        billing_weights: {cpu: 1.0, gpu: 10.0}
        tres_billing_weights: {mem: 0.1}
        qos_levels: {default: normal, slowdown: slowdown, blocked: blocked}
        fairshare_decay_half_life: 15
        raw_usage_reset: true
        default_grace_ratio: 0.2
        default_carryover_enabled: true
        carryover_factor: 50
        period: month
        units: cluster
      cscs_dwdi_api_url: https://dwdi
      cscs_dwdi_client_id: x
      cscs_dwdi_client_secret: x
      cscs_dwdi_oidc_token_url: https://x
      cscs_dwdi_oidc_scope: x
      cscs_dwdi_cluster: x
      cscs_dwdi_api_flavour: current
      storage_filesystem: x
      storage_data_type: x
      storage_tenant: x
      storage_path_mapping: {}
      socks_proxy: socks5://x:1080
    backend_components:
      node:
        unit: node-hours
        accounting_type: one
        unit_factor_reporting: 1
        target_components: {cpu: {factor: 7680}, gres/gpu: {factor: 240}}
        description: x
        min_value: 1
        max_value: 2
        max_available_limit: 3
        default_limit: 1
        limit_period: month
        article_code: x
        is_boolean: false
        is_prepaid: true
        min_prepaid_duration: 1
        max_prepaid_duration: 1
        prepaid_duration_step: 1
        min_renewal_duration: 1
        max_renewal_duration: 1
        renewal_duration_step: 1
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "waldur-site-agent-config.yaml"
    path.write_text(text)
    return path


def errors(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(written(tmp_path, text))
    return str(error.value)


DWDI_PLUGIN_0_1_0 = """\
offerings:
  - name: "CSCS HPC Offering"
    waldur_api_url: https://waldur.example.com
    waldur_api_token: secret-token
    waldur_offering_uuid: 5a3f6973555642c8bbc2a3abbefeeb7f
    reporting_backend: "cscs-dwdi"
    backend_settings:
      cscs_dwdi_api_url: "https://dwdi-api.cscs.ch"
      cscs_dwdi_client_id: "your-oidc-client-id"
      cscs_dwdi_client_secret: "your-oidc-client-secret"
      # Optional OIDC configuration (for production use)
      cscs_dwdi_oidc_token_url: "https://identity.cscs.ch/realms/cscs/protocol/openid-connect/token"
      cscs_dwdi_oidc_scope: "cscs-dwdi:read"

    backend_components:
      nodeHours:
        measured_unit: "node-hours"
        unit_factor: 1
        accounting_type: "usage"
        label: "Node Hours"
      storage:
        measured_unit: "TB"
        unit_factor: 1
        accounting_type: "usage"
        label: "Storage Usage"
"""

SECRET_LINE = '      cscs_dwdi_client_secret: "your-oidc-client-secret"\n'

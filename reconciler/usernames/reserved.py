"""Names that belong to the system on some Linux, to a service of a cluster, or to an office."""

from __future__ import annotations

_SYSTEM = """
    root toor admin administrator daemon bin sys sync games man lp mail news uucp proxy backup list irc gnats
    operator halt shutdown adm wheel sudo staff users user nobody nogroup nfsnobody guest ftp
    tty disk kmem cdrom floppy tape audio video dip plugdev sasl shadow utmp crontab syslog messagebus dbus polkitd
    polkit avahi colord rtkit pulse saned usbmux tss uuidd input render kvm sgx netdev dialout fax voice
    systemd systemd-bus-proxy systemd-coredump systemd-journal systemd-journal-gateway systemd-journal-remote
    systemd-journal-upload systemd-network systemd-oom systemd-resolve systemd-timesync
    sshd ssh apt landscape pollinate lxd docker podman containerd chrony ntp rpc rpcuser statd sssd nslcd
    nscd abrt cockpit setroubleshoot clevis dnsmasq unbound bind named tcpdump postfix postdrop exim dovecot
    dhcpd dhcpcd qemu libvirt rabbitmq unscd tomcat
"""
_SERVICES = """
    slurm slurmd slurmctld slurmdbd slurmrestd munge mysql mariadb postgres postgresql redis mongodb apache httpd
    nginx www www-data web webmaster http git svn jenkins gitlab-runner gitlab prometheus grafana node-exporter
    telegraf influxdb elasticsearch kibana logstash zabbix nagios icinga ganglia puppet chef ansible salt
    ldap openldap slapd kerberos krb5 ipa pcp lustre gpfs beegfs ceph globus xrootd nvidia-persistenced
    moab maui torque pbs lsf sge condor waldur reconcile
"""
_OFFICES = """
    postmaster hostmaster abuse security support helpdesk info noreply no-reply webadmin sysadmin test
    anonymous unknown none null all default everyone self
"""

RESERVED = frozenset((_SYSTEM + _SERVICES + _OFFICES).split())


def is_reserved(name: str) -> bool:
    """Whether nobody may get this name, in any case of letters. With a number after it, it is as good as another."""
    return name.casefold() in RESERVED

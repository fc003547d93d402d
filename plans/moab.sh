#!/bin/sh
# cluster moab, offerings: Money
# planned 2026-11-01T00:00:00Z by reconcile; stops at the first command that fails
set -eu

# create moab.user["alice"]: alice becomes a member of a_climate
# create moab.user["carol"]: carol becomes a member of a_ice
mam-create-user -u alice
mam-create-user -u carol

# create moab.account["p_fusion"]: project "Fusion" has resources here
mam-create-account -a p_fusion -o p_fusion -d Fusion

# create moab.account["a_climate"]: resource "Climate model" desired.yaml#0 of offering "Money", deposit = 1200.5 EUR (limits.deposit)
# create moab.account["a_fusion"]: resource "Fusion" desired.yaml#2 of offering "Money", deposit = 90 EUR (limits.deposit), paused
mam-create-account -a a_climate -o p_climate -d 'Climate model'
mam-create-account -a a_fusion -o p_fusion -d Fusion -I

# create moab.fund["a_climate"]: resource "Climate model" desired.yaml#0 of offering "Money", deposit = 1200.5 EUR (limits.deposit), deposits 1200.5
# create moab.fund["a_fusion"]: resource "Fusion" desired.yaml#2 of offering "Money", deposit = 90 EUR (limits.deposit), paused, deposits 90
mam-create-fund -a a_climate
found=$(mam-list-funds --raw --quiet --show Id,Constraints -a a_climate | sed -n 's/|Account=a_climate$//p'); mam-deposit -f "${found:?nothing was found}" -z 1200.5 -d waldur:a_climate:1200.5
mam-create-fund -a a_fusion
found=$(mam-list-funds --raw --quiet --show Id,Constraints -a a_fusion | sed -n 's/|Account=a_fusion$//p'); mam-deposit -f "${found:?nothing was found}" -z 90 -d waldur:a_fusion:90

# create moab.member["a_climate","alice"]: alice is a member of project "Climate"
# create moab.member["a_climate","bob"]: bob is a member of project "Climate"
# create moab.member["a_fusion","carol"]: carol is a member of project "Fusion"
# create moab.member["a_ice","carol"]: carol is a member of project "Climate"
mam-modify-account -a a_climate --add-user +alice
mam-modify-account -a a_climate --add-user +bob
mam-modify-account -a a_fusion --add-user +carol
mam-modify-account -a a_ice --add-user +carol

# update moab.fund["a_ice"]: resource "Ice sheets" desired.yaml#1 of offering "Money", deposit = 500 EUR (limits.deposit), deposits 200.00
mam-deposit -f 2 -z 200.00 -d waldur:a_ice:500

# delete moab.fund["a_old"]: its account goes: resource "Old work" is Terminated in desired.yaml; 10.00 of 10.00 are left in it and go along
mam-delete-fund -f 3

# delete moab.account["a_old"]: resource "Old work" is Terminated in desired.yaml
mam-delete-account -a a_old

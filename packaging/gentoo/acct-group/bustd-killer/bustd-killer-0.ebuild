# Copyright 2026 the bustd authors
# Distributed under the terms of the MIT License

# shellcheck shell=bash disable=SC2034  # portage reads them

EAPI=8

inherit acct-group

DESCRIPTION="Group of bustd's killer"
ACCT_GROUP_ID=-1

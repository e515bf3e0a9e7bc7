# Copyright 2026 the bustd authors
# Distributed under the terms of the MIT License

# shellcheck shell=bash disable=SC2034  # portage reads them

EAPI=8

inherit acct-user

DESCRIPTION="User of bustd's killer"
ACCT_USER_ID=-1
ACCT_USER_GROUPS=( bustd-killer )

acct-user_add_deps

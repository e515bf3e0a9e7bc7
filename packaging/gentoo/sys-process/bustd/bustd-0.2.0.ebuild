# Copyright 2026 the bustd authors
# Distributed under the terms of the MIT License

# shellcheck shell=bash disable=SC2016,SC2034,SC2154  # portage reads and sets them

EAPI=8

DISTUTILS_SINGLE_IMPL=1
DISTUTILS_USE_PEP517=hatchling
PYTHON_COMPAT=( python3_{11..14} )

inherit distutils-r1 optfeature systemd tmpfiles

DESCRIPTION="Keeps a machine alive when it runs out of memory (OOM), by killing the one process that frees it"
# The archive that `make dist` leaves in dist/. This version is not published yet.
SRC_URI="bustd-${PV}.tar.gz"

LICENSE="MIT"
SLOT="0"
KEYWORDS="~amd64"
RESTRICT="fetch"

RDEPEND="
	acct-group/bustd
	acct-group/bustd-killer
	acct-user/bustd
	acct-user/bustd-killer
	$(python_gen_cond_dep '
		>=dev-python/msgpack-1.0.3[${PYTHON_USEDEP}]
		>=dev-python/psutil-5.9.4[${PYTHON_USEDEP}]
		>=dev-python/python-prctl-1.8.1[${PYTHON_USEDEP}]
	')
"
BDEPEND="app-text/scdoc"

pkg_nofetch() {
	einfo "Run \`make dist\` in bustd's tree and copy dist/${A} into your DISTDIR."
}

src_install() {
	distutils-r1_src_install
	sh packaging/install-system-files.sh "${D}" "${PYTHON}" "$(python_get_sitedir)" "$(systemd_get_systemunitdir)" ||
		die "the system files could not be installed"
	rm -r "${D}"/usr/lib/sysusers.d || die # acct-user/bustd and acct-user/bustd-killer make the users
	newinitd packaging/openrc/bustd.initd bustd
	newconfd packaging/openrc/bustd.confd bustd
}

pkg_postinst() {
	tmpfiles_process bustd.conf
	optfeature "notifications of the desktop (bustd notify)" dev-python/jeepney
}

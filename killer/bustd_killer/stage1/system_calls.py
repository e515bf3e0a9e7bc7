"""The numbers of the system calls that the filters know, for each architecture that has a filter."""

from __future__ import annotations

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""What seccomp_data.arch is (linux/audit.h), by uname(2)'s machine: 64 bits, little endian."""

_TABLE = """
accept 43 202               accept4 288 242             access 21 -                 arch_prctl 158 -
brk 12 214                  capget 125 90               clock_getres 229 114        clock_gettime 228 113
clock_nanosleep 230 115     clone 56 220                clone3 435 435              close 3 57
connect 42 203              dup 32 23                   dup2 33 -                   execve 59 221
exit 60 93                  exit_group 231 94           faccessat 269 48            faccessat2 439 439
fcntl 72 25                 fgetxattr 193 10            fork 57 -                   fstat 5 80
futex 202 98                getcwd 79 17                getdents64 217 61           getegid 108 177
geteuid 107 175             getgid 104 176              getpid 39 172               getppid 110 173
getrandom 318 278           getrlimit 97 163            getsockname 51 204          getsockopt 55 209
gettid 186 178              gettimeofday 96 169         getuid 102 174              getxattr 191 8
ioctl 16 29                 landlock_add_rule 445 445   landlock_create_ruleset 444 444
landlock_restrict_self 446 446                          lgetxattr 192 9             lseek 8 62
lstat 6 -                   madvise 28 233              membarrier 324 283          mlockall 151 230
mmap 9 222                  mprotect 10 226             mremap 25 216               munmap 11 215
nanosleep 35 101            newfstatat 262 79           open 2 -                    openat 257 56
pause 34 -                  pidfd_open 434 434          pidfd_send_signal 424 424   pipe 22 -
pipe2 293 59                poll 7 -                    ppoll 271 73                prctl 157 167
pread64 17 67               prlimit64 302 261           process_mrelease 448 448    read 0 63
readlink 89 -               readlinkat 267 78           recvmsg 47 212              restart_syscall 219 128
rseq 334 293                rt_sigaction 13 134         rt_sigprocmask 14 135       rt_sigreturn 15 139
sched_getaffinity 204 123   sched_yield 24 124          sendto 44 206               set_robust_list 273 99
set_tid_address 218 96      setitimer 38 103            shutdown 48 210             sigaltstack 131 132
socket 41 198               stat 4 -                    statfs 137 43               statx 332 291
sysinfo 99 179              time 201 -                  uname 63 160                wait4 61 260
waitid 247 95               write 1 64                  writev 20 66
"""
"""The name, then the number on x86_64 and on aarch64; "-" where there is no such call."""

_WORDS = _TABLE.split()

NUMBERS: dict[str, dict[str, int]] = {
    machine: {name: int(number) for name, number in zip(_WORDS[::3], _WORDS[column::3], strict=True) if number != "-"}
    for column, machine in enumerate(AUDIT_ARCH, start=1)
}
"""By machine and name."""

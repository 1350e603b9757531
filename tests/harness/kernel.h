/* Structures that programs and kernel exchange though no header of linux/ declares
 * them: from include/linux/{elfcore,signal_types,socket}.h, fs/readdir.c
 * and fs/select.c of Linux 6.12, with the types of the headers that programs see. */

#include <linux/types.h>

struct kernel_sigaction {
    void *act_handler;
    unsigned long act_flags;
#ifdef SA_RESTORER
    void *act_restorer;
#endif
    unsigned long act_mask[8 / sizeof(long)];
};

struct sigset_argpack {
    void *set_mask;
    __kernel_size_t set_size;
};

struct old_timespec32 {
    __s32 tv_sec, tv_nsec;
};

struct linux_dirent {
    unsigned long d_ino, d_off;
    unsigned short d_reclen;
    char d_name[];
};

struct linux_dirent64 {
    __u64 d_ino;
    __s64 d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

struct user_msghdr {
    void *msg_name;
    int msg_namelen;
    void *msg_iov;
    __kernel_size_t msg_iovlen;
    void *msg_control;
    __kernel_size_t msg_controllen;
    unsigned int msg_flags;
};

struct kernel_cmsghdr {
    __kernel_size_t cmsg_len;
    int cmsg_level, cmsg_type;
};

struct kernel_timeval {
    __kernel_long_t tv_sec, tv_usec;
};

struct elf_siginfo {
    int si_signo, si_code, si_errno;
};

struct elf_prstatus {
    struct elf_siginfo pr_info;
    short pr_cursig;
    unsigned long pr_sigpend, pr_sighold;
    __kernel_pid_t pr_pid, pr_ppid, pr_pgrp, pr_sid;
    struct kernel_timeval pr_utime, pr_stime, pr_cutime, pr_cstime;
};

struct elf_prpsinfo {
    char pr_state, pr_sname, pr_zomb, pr_nice;
    unsigned long pr_flag;
    __kernel_uid_t pr_uid;
    __kernel_gid_t pr_gid;
    __kernel_pid_t pr_pid, pr_ppid, pr_pgrp, pr_sid;
    char pr_fname[16], pr_psargs[80];
};

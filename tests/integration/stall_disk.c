/* Preloaded into a process, it makes the disk hang: as long as the file that STALL_DISK names exists, no sync returns. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void stall(void) {
    while (access(getenv("STALL_DISK"), F_OK) == 0)
        usleep(20000);
}

int fsync(int file) {
    stall();
    return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    stall();
    return syscall(SYS_fdatasync, file);
}

/* LD_PRELOAD: a disk whose every flush takes SLOW_FLUSH_US microseconds (2000) longer, for whoever flushes through libc:
 * fsync, fdatasync, msync, and writes to a file that was opened with O_DSYNC (so LMDB writes its meta page). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static void wait_for_the_disk(void) {
    static long us = -1;
    if (us < 0) {
        const char *said = getenv("SLOW_FLUSH_US");
        us = said ? atol(said) : 2000;
    }
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&pause, NULL);
}

static int flushes(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_DSYNC;
}

typedef int (*Flush)(int);
typedef int (*FlushMap)(void *, size_t, int);
typedef ssize_t (*Write)(int, const void *, size_t, off_t);
typedef ssize_t (*Write64)(int, const void *, size_t, off64_t);

int fsync(int fd) {
    static Flush original;
    if (!original) original = (Flush)dlsym(RTLD_NEXT, "fsync");
    wait_for_the_disk();
    return original(fd);
}

int fdatasync(int fd) {
    static Flush original;
    if (!original) original = (Flush)dlsym(RTLD_NEXT, "fdatasync");
    wait_for_the_disk();
    return original(fd);
}

int msync(void *start, size_t length, int flags) {
    static FlushMap original;
    if (!original) original = (FlushMap)dlsym(RTLD_NEXT, "msync");
    wait_for_the_disk();
    return original(start, length, flags);
}

ssize_t pwrite(int fd, const void *from, size_t length, off_t at) {
    static Write original;
    if (!original) original = (Write)dlsym(RTLD_NEXT, "pwrite");
    if (flushes(fd)) wait_for_the_disk();
    return original(fd, from, length, at);
}

ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
    static Write64 original;
    if (!original) original = (Write64)dlsym(RTLD_NEXT, "pwrite64");
    if (flushes(fd)) wait_for_the_disk();
    return original(fd, from, length, at);
}

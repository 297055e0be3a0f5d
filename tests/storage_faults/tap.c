/* Preloaded into a process: writes down what it does to the files below a directory, in order, into a log (tap_begin), and
 * fails what the first letter of the file $TAP_FAULT asks for: s - fsync and fdatasync, m - writes of LMDB's meta pages
 * (they go through a descriptor opened with O_DSYNC), w - every write. One record is a header and its bytes; the lock
 * is held over the call and its record, so that the order of records is the order of effects. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct header { char kind; char flag; uint16_t unused; uint32_t length; uint64_t inode; int64_t offset; };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root, *fault;
static int out = -1;
static char watched[65536];

__attribute__((constructor)) static void loaded(void) {
    root = getenv("TAP_ROOT");
    fault = getenv("TAP_FAULT");
}
void tap_begin(const char *directory, const char *log) {
    root = strdup(directory);
    out = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
static int below(const char *path) { return root && path && !strncmp(path, root, strlen(root)); }
static int ours(int fd) { return fd >= 0 && fd < (int)sizeof watched && watched[fd]; }
static uint64_t inode(int fd) { struct stat s; return fstat(fd, &s) ? 0 : s.st_ino; }
static int dsync(int fd) { int flags = syscall(SYS_fcntl, fd, F_GETFL); return flags > 0 && (flags & O_DSYNC); }
static void record(char kind, int flag, uint64_t node, int64_t offset, const void *bytes, uint32_t length) {
    struct header h = {kind, flag, 0, length, node, offset};
    struct iovec parts[2] = {{&h, sizeof h}, {(void *)bytes, length}};
    if (out >= 0 && syscall(SYS_writev, out, parts, 2) != (long)(sizeof h + length)) abort();
}
static int failing(char what) {
    char asked = 0;
    int fd = fault ? syscall(SYS_openat, AT_FDCWD, fault, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, &asked, 1) < 1) asked = 0;
    syscall(SYS_close, fd);
    if (asked != what) return 0;
    errno = EIO;
    return 1;
}
void tap_mark(const char *text) {
    pthread_mutex_lock(&lock);
    record('A', 0, 0, 0, text, strlen(text));
    pthread_mutex_unlock(&lock);
}

static int opened(int fd, const char *path, int flags, int fresh) {
    if (fd >= 0 && fd < (int)sizeof watched) {
        watched[fd] = below(path);
        if (watched[fd] && fresh) record('c', 0, inode(fd), 0, path, strlen(path));
        if (watched[fd] && (flags & O_TRUNC)) record('t', 0, inode(fd), 0, "", 0);
    }
    return fd;
}
#define OPEN(name) int name(const char *path, int flags, ...) { \
    REAL(name); va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
    pthread_mutex_lock(&lock); \
    int fresh = (flags & O_CREAT) && below(path) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0; \
    int fd = opened(real(path, flags, mode), path, flags, fresh); \
    pthread_mutex_unlock(&lock); return fd; }
OPEN(open)
OPEN(open64)
int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < (int)sizeof watched) watched[fd] = 0;
    return real(fd);
}
static ssize_t wrote(int fd, const struct iovec *parts, int count, int64_t offset, ssize_t done) {
    for (ssize_t left = done; left > 0 && count; parts++, count--) {
        size_t length = (size_t)left < parts->iov_len ? (size_t)left : parts->iov_len;
        record('w', dsync(fd), inode(fd), offset, parts->iov_base, length);
        offset += length, left -= length;
    }
    return done;
}
#define GUARDED(call, parts, count, place) \
    if (!ours(fd)) return call; \
    if (failing('w') || (dsync(fd) && failing('m'))) return -1; \
    pthread_mutex_lock(&lock); int64_t offset = place; ssize_t done = wrote(fd, parts, count, offset, call); \
    pthread_mutex_unlock(&lock); return done
#define HERE ((int64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR))
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    REAL(pwrite); struct iovec one = {(void *)b, n}; GUARDED(real(fd, b, n, o), &one, 1, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    REAL(pwrite64); struct iovec one = {(void *)b, n}; GUARDED(real(fd, b, n, o), &one, 1, o); }
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t o) { REAL(pwritev); GUARDED(real(fd, v, n, o), v, n, o); }
ssize_t writev(int fd, const struct iovec *v, int n) { REAL(writev); GUARDED(real(fd, v, n), v, n, HERE); }
ssize_t write(int fd, const void *b, size_t n) {
    REAL(write); struct iovec one = {(void *)b, n}; GUARDED(real(fd, b, n), &one, 1, HERE); }

#define SYNC(name) int name(int fd) { REAL(name); \
    if (!ours(fd)) return real(fd); \
    if (failing('s')) return -1; \
    pthread_mutex_lock(&lock); int failed = real(fd); \
    if (!failed) record('s', 0, inode(fd), 0, "", 0); \
    pthread_mutex_unlock(&lock); return failed; }
SYNC(fsync)
SYNC(fdatasync)
#define CUT(name, type) int name(int fd, type size) { REAL(name); \
    pthread_mutex_lock(&lock); int failed = real(fd, size); \
    if (!failed && ours(fd)) record('t', 0, inode(fd), size, "", 0); \
    pthread_mutex_unlock(&lock); return failed; }
CUT(ftruncate, off_t)
CUT(ftruncate64, off64_t)
int unlink(const char *path) { REAL(unlink);
    pthread_mutex_lock(&lock); int failed = real(path);
    if (!failed && below(path)) record('u', 0, 0, 0, path, strlen(path));
    pthread_mutex_unlock(&lock); return failed; }
int rename(const char *from, const char *to) { REAL(rename);
    pthread_mutex_lock(&lock); int failed = real(from, to);
    if (!failed && below(to)) {
        char both[8192]; size_t left = strlen(from) + 1, right = strlen(to);
        memcpy(both, from, left); memcpy(both + left, to, right);
        record('r', 0, 0, 0, both, left + right);
    }
    pthread_mutex_unlock(&lock); return failed; }

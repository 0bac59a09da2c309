/* A file layer that fails on command, loaded in front of the C library (LD_PRELOAD).
 *
 * The file named by FAULTS is shared with the test that steers it: see tests/support/faults.rs
 * for its fields. While it is armed, calls that touch a path with the given text are counted;
 * after `skip` of them, the next `fails` fail with `error` and do nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    int armed, error, skip, fails, calls, failed;
    char text[100];
    char operation[32];
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS");
    int fd = path ? open(path, O_RDWR) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) control = mapped;
}

static int fails(const char *operation, const char *path) {
    struct control *c = control;
    if (!c || !__atomic_load_n(&c->armed, __ATOMIC_ACQUIRE) || !strstr(path, c->text)) return 0;
    if (strstr(path, "/LOG")) return 0; /* RocksDB's log for people: nobody minds */
    int call = __atomic_fetch_add(&c->calls, 1, __ATOMIC_ACQ_REL);
    if (call < c->skip || call - c->skip >= c->fails) return 0;
    snprintf(c->operation, sizeof c->operation, "%s", operation);
    __atomic_fetch_add(&c->failed, 1, __ATOMIC_ACQ_REL);
    errno = c->error;
    return 1;
}

static int fails_at(const char *operation, int fd) {
    char link[32], path[4096];
    if (!control || !control->armed) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(operation, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define BY_PATH(type, name, path, parameters, arguments)                 \
    type name parameters {                                               \
        static __typeof__(&name) real;                                   \
        if (!real) real = REAL(name);                                    \
        return fails(#name, path) ? (type)-1 : real arguments;           \
    }
#define BY_FD(type, name, parameters, arguments)                         \
    type name parameters {                                               \
        static __typeof__(&name) real;                                   \
        if (!real) real = REAL(name);                                    \
        return fails_at(#name, fd) ? (type)-1 : real arguments;          \
    }
#define OPEN(name)                                                       \
    int name(const char *path, int flags, ...) {                         \
        static __typeof__(&name) real;                                   \
        if (!real) real = REAL(name);                                    \
        va_list rest;                                                    \
        va_start(rest, flags);                                           \
        mode_t mode = va_arg(rest, int);                                 \
        va_end(rest);                                                    \
        return fails(#name, path) ? -1 : real(path, flags, mode);        \
    }

OPEN(open)
OPEN(open64)
BY_PATH(int, link, to, (const char *from, const char *to), (from, to))
BY_PATH(int, rename, to, (const char *from, const char *to), (from, to))
BY_PATH(int, mkdir, path, (const char *path, mode_t mode), (path, mode))
BY_PATH(int, unlink, path, (const char *path), (path))
BY_FD(ssize_t, write, (int fd, const void *bytes, size_t count), (fd, bytes, count))
BY_FD(ssize_t, pwrite, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at))
BY_FD(ssize_t, pwrite64, (int fd, const void *bytes, size_t count, off64_t at), (fd, bytes, count, at))
BY_FD(ssize_t, read, (int fd, void *bytes, size_t count), (fd, bytes, count))
BY_FD(ssize_t, pread, (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at))
BY_FD(ssize_t, pread64, (int fd, void *bytes, size_t count, off64_t at), (fd, bytes, count, at))
BY_FD(int, fsync, (int fd), (fd))
BY_FD(int, fdatasync, (int fd), (fd))
BY_FD(int, sync_file_range, (int fd, off64_t at, off64_t count, unsigned flags), (fd, at, count, flags))
BY_FD(int, ftruncate, (int fd, off_t length), (fd, length))
BY_FD(int, fallocate, (int fd, int mode, off_t at, off_t length), (fd, mode, at, length))

/* Loaded with LD_PRELOAD: counts the file calls beneath one folder, and makes the chosen one fail, tear or end the process.

   Every way that a process changes a file system passes through these functions of libc, whether it is written in Python, Rust or C++, so a new
   call of zoo's is counted without anybody naming it. faults_arm() begins, with the folder, the number of the call (from 1, 0: none), what
   happens to it, and a descriptor to write a line for each call to. Changing pages of a mapped file is no call, and is not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DIE_BEFORE = 1, DIE_AFTER, TORN, FAIL };

static char root[PATH_MAX];
static size_t root_length;
static atomic_long count;
static long chosen;
static int kind, code, log_fd = -1, full;

void faults_arm(const char *folder, long index, int what, int error, int log) {
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    atomic_store(&count, 0);
    chosen = index, kind = what, code = error, log_fd = log, full = 0;
}

void faults_disarm(void) { root_length = 0; }

static int beneath(const char *path) {
    return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

/* The absolute path of a name, as it was given; 0 where it is not beneath the folder. */
static int place(int folder, const char *name, char *path) {
    if (!root_length || !name) return 0;
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
    } else {
        char link[64], base[PATH_MAX];
        if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        long length = syscall(SYS_readlink, link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if (strlen(base) + strlen(name) + 2 > PATH_MAX) return 0;
        strcpy(path, base), strcat(path, "/"), strcat(path, name);
    }
    return beneath(path);
}

static int place_of(int fd, char *path) {
    if (!root_length) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return beneath(path);
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

/* Counts a call; what is to happen to it (0: nothing). `needs_room`: it fails for good once the disk is full. */
static int meet(const char *operation, const char *path, int needs_room) {
    long number = atomic_fetch_add(&count, 1) + 1;
    if (log_fd >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld\t%s\t%s\n", number, operation, path + root_length);
        syscall(SYS_write, log_fd, line, (size_t)length);
    }
    if (full && needs_room) { errno = ENOSPC; return FAIL; }
    if (number != chosen) return 0;
    if (kind == DIE_BEFORE) die();
    if (kind == FAIL) { errno = code; full = code == ENOSPC; }
    return kind;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define CALL(operation, at, room, expression)                              \
    int happens = (at) ? meet(operation, path, room) : 0;                  \
    if (happens == FAIL) return -1;                                        \
    __typeof__(expression) result = expression;                            \
    if (happens == DIE_AFTER) die();                                       \
    return result

#define OPEN(name)                                                                                 \
    int name(const char *file, int flags, ...) {                                                   \
        REAL(name); char path[PATH_MAX]; va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        int writes = flags & (O_WRONLY | O_RDWR | O_CREAT);                                        \
        CALL(writes ? "create" : "open", place(AT_FDCWD, file, path), flags & O_CREAT, real(file, flags, mode)); \
    }
#define OPENAT(name)                                                                               \
    int name(int folder, const char *file, int flags, ...) {                                       \
        REAL(name); char path[PATH_MAX]; va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        int writes = flags & (O_WRONLY | O_RDWR | O_CREAT);                                        \
        CALL(writes ? "create" : "open", place(folder, file, path), flags & O_CREAT, real(folder, file, flags, mode)); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

FILE *fopen(const char *file, const char *how) {
    REAL(fopen); char path[PATH_MAX];
    int writes = strpbrk(how, "wa+") != NULL;
    int happens = place(AT_FDCWD, file, path) ? meet(writes ? "create" : "open", path, writes) : 0;
    return happens == FAIL ? NULL : real(file, how);
}
FILE *fopen64(const char *file, const char *how) { return fopen(file, how); }

ssize_t read(int fd, void *buffer, size_t size) {
    REAL(read); char path[PATH_MAX];
    CALL("read", place_of(fd, path), 0, real(fd, buffer, size));
}

ssize_t write(int fd, const void *buffer, size_t size) {
    REAL(write); char path[PATH_MAX];
    int happens = place_of(fd, path) ? meet("write", path, 1) : 0;
    if (happens == FAIL) return -1;
    if (happens == TORN) { real(fd, buffer, size / 2); die(); }
    ssize_t result = real(fd, buffer, size);
    if (happens == DIE_AFTER) die();
    return result;
}

#define PWRITE(name, offset_type)                                                    \
    ssize_t name(int fd, const void *buffer, size_t size, offset_type offset) {      \
        REAL(name); char path[PATH_MAX];                                             \
        int happens = place_of(fd, path) ? meet("write", path, 1) : 0;               \
        if (happens == FAIL) return -1;                                              \
        if (happens == TORN) { real(fd, buffer, size / 2, offset); die(); }          \
        ssize_t result = real(fd, buffer, size, offset);                             \
        if (happens == DIE_AFTER) die();                                             \
        return result;                                                               \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(writev); char path[PATH_MAX];
    int happens = place_of(fd, path) ? meet("write", path, 1) : 0;
    if (happens == FAIL) return -1;
    if (happens == TORN) { real(fd, parts, number / 2); die(); }
    ssize_t result = real(fd, parts, number);
    if (happens == DIE_AFTER) die();
    return result;
}

ssize_t sendfile(int to, int from, off_t *offset, size_t size);
ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
    REAL(sendfile); char path[PATH_MAX];
    CALL("write", place_of(to, path), 1, real(to, from, offset, size));
}
ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *offset, size_t size, unsigned flags) {
    REAL(copy_file_range); char path[PATH_MAX];
    CALL("write", place_of(to, path), 1, real(from, start, to, offset, size, flags));
}

int fsync(int fd) { REAL(fsync); char path[PATH_MAX]; CALL("sync", place_of(fd, path), 1, real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); char path[PATH_MAX]; CALL("sync", place_of(fd, path), 1, real(fd)); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); char path[PATH_MAX]; CALL("truncate", place_of(fd, path), 1, real(fd, size)); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); char path[PATH_MAX]; CALL("truncate", place_of(fd, path), 1, real(fd, size)); }
int truncate(const char *file, off_t size) { REAL(truncate); char path[PATH_MAX]; CALL("truncate", place(AT_FDCWD, file, path), 1, real(file, size)); }

int mkdir(const char *file, mode_t mode) { REAL(mkdir); char path[PATH_MAX]; CALL("mkdir", place(AT_FDCWD, file, path), 1, real(file, mode)); }
int mkdirat(int folder, const char *file, mode_t mode) { REAL(mkdirat); char path[PATH_MAX]; CALL("mkdir", place(folder, file, path), 1, real(folder, file, mode)); }
int rmdir(const char *file) { REAL(rmdir); char path[PATH_MAX]; CALL("remove", place(AT_FDCWD, file, path), 0, real(file)); }
int unlink(const char *file) { REAL(unlink); char path[PATH_MAX]; CALL("remove", place(AT_FDCWD, file, path), 0, real(file)); }
int unlinkat(int folder, const char *file, int flags) { REAL(unlinkat); char path[PATH_MAX]; CALL("remove", place(folder, file, path), 0, real(folder, file, flags)); }
int remove(const char *file) { REAL(remove); char path[PATH_MAX]; CALL("remove", place(AT_FDCWD, file, path), 0, real(file)); }

int rename(const char *from, const char *to) { REAL(rename); char path[PATH_MAX]; CALL("rename", place(AT_FDCWD, to, path), 1, real(from, to)); }
int renameat(int one, const char *from, int two, const char *to) { REAL(renameat); char path[PATH_MAX]; CALL("rename", place(two, to, path), 1, real(one, from, two, to)); }
int renameat2(int one, const char *from, int two, const char *to, unsigned flags) { REAL(renameat2); char path[PATH_MAX]; CALL("rename", place(two, to, path), 1, real(one, from, two, to, flags)); }
int link(const char *from, const char *to) { REAL(link); char path[PATH_MAX]; CALL("link", place(AT_FDCWD, to, path), 1, real(from, to)); }
int linkat(int one, const char *from, int two, const char *to, int flags) { REAL(linkat); char path[PATH_MAX]; CALL("link", place(two, to, path), 1, real(one, from, two, to, flags)); }
int symlink(const char *from, const char *to) { REAL(symlink); char path[PATH_MAX]; CALL("link", place(AT_FDCWD, to, path), 1, real(from, to)); }
int symlinkat(const char *from, int folder, const char *to) { REAL(symlinkat); char path[PATH_MAX]; CALL("link", place(folder, to, path), 1, real(from, folder, to)); }

/* Loaded with LD_PRELOAD, records what a process does to the files below $RECORD_DIRECTORY into $RECORD_FILE, in
 * order, whoever in the process does it (Python, DuckDB): create, write, truncate, fsync, rename, unlink, mkdir.
 * Each record is one line `op inode offset length path path2` (tab between), followed by `length` bytes. A file is
 * known by its inode, since its name may change; a record is made once the call has succeeded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int output = -1;
static const char *below;

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)

static int inside(const char *path) {
    size_t length = below ? strlen(below) : 0;
    return length && strncmp(path, below, length) == 0 && (path[length] == '/' || path[length] == 0);
}

__attribute__((constructor)) static void begin(void) {
    below = getenv("RECORD_DIRECTORY");
    const char *file = getenv("RECORD_FILE");
    if (below && file) output = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void put(const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t done = syscall(SYS_write, output, bytes, count);
        if (done <= 0) _exit(99);
        bytes += done, count -= done;
    }
}

static void record(const char *op, ino_t inode, off_t offset, const void *bytes, size_t count, const char *path, const char *path2) {
    char line[3 * PATH_MAX];
    int saved = errno;
    int length = snprintf(line, sizeof line, "%s\t%lu\t%ld\t%zu\t%s\t%s\n", op, (unsigned long)inode, (long)offset, count, path, path2);
    pthread_mutex_lock(&mutex);
    if (output >= 0) put(line, length), put(bytes, count);
    pthread_mutex_unlock(&mutex);
    errno = saved;
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return inside(path);
}

static ino_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

static void absolute(int directory, const char *name, char *path) {
    if (name[0] == '/') { snprintf(path, PATH_MAX, "%s", name); return; }
    char base[PATH_MAX] = "";
    if (directory == AT_FDCWD) { if (!getcwd(base, sizeof base)) base[0] = 0; } else path_of(directory, base);
    snprintf(path, PATH_MAX, "%s/%s", base, name);
}

static void opened(int fd, const char *path, int flags, int existed) {
    if (fd < 0 || !inside(path)) return;
    if (!existed) record("create", inode_of(fd), 0, "", 0, path, "");
    else if (flags & O_TRUNC) record("truncate", inode_of(fd), 0, "", 0, path, "");
}

#define OPEN(symbol)                                                                       \
    int symbol(const char *name, int flags, ...) {                                         \
        REAL(int, #symbol, const char *, int, ...);                                        \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        char path[PATH_MAX]; absolute(AT_FDCWD, name, path);                               \
        int existed = access(path, F_OK) == 0, fd = real(name, flags, mode);               \
        opened(fd, path, flags, existed);                                                  \
        return fd;                                                                         \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(symbol)                                                                     \
    int symbol(int directory, const char *name, int flags, ...) {                          \
        REAL(int, #symbol, int, const char *, int, ...);                                   \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        char path[PATH_MAX]; absolute(directory, name, path);                              \
        int existed = access(path, F_OK) == 0, fd = real(directory, name, flags, mode);    \
        opened(fd, path, flags, existed);                                                  \
        return fd;                                                                         \
    }
OPENAT(openat)
OPENAT(openat64)

static void wrote(int fd, off_t offset, const void *bytes, ssize_t done) {
    char path[PATH_MAX];
    if (done > 0 && path_of(fd, path)) record("write", inode_of(fd), offset, bytes, done, path, "");
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    struct stat found;
    off_t offset = fcntl(fd, F_GETFL) & O_APPEND && fstat(fd, &found) == 0 ? found.st_size : lseek(fd, 0, SEEK_CUR);
    ssize_t done = real(fd, bytes, count);
    wrote(fd, offset, bytes, done);
    return done;
}

#define PWRITE(symbol, type)                                                               \
    ssize_t symbol(int fd, const void *bytes, size_t count, type offset) {                 \
        REAL(ssize_t, #symbol, int, const void *, size_t, type);                           \
        ssize_t done = real(fd, bytes, count, offset);                                     \
        wrote(fd, offset, bytes, done);                                                    \
        return done;                                                                       \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_DESCRIPTOR(symbol, op)                                                          \
    int symbol(int fd) {                                                                   \
        REAL(int, #symbol, int);                                                           \
        char path[PATH_MAX];                                                               \
        int result = real(fd);                                                             \
        if (result == 0 && path_of(fd, path)) record(op, inode_of(fd), 0, "", 0, path, ""); \
        return result;                                                                     \
    }
ON_DESCRIPTOR(fsync, "fsync")
ON_DESCRIPTOR(fdatasync, "fsync")

#define TRUNCATE(symbol, type)                                                             \
    int symbol(int fd, type length) {                                                      \
        REAL(int, #symbol, int, type);                                                     \
        char path[PATH_MAX];                                                               \
        int result = real(fd, length);                                                     \
        if (result == 0 && path_of(fd, path)) record("truncate", inode_of(fd), length, "", 0, path, ""); \
        return result;                                                                     \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

static void renamed(int result, const char *from, const char *to) {
    struct stat found;
    if (result == 0 && (inside(from) || inside(to)))
        record("rename", stat(to, &found) == 0 ? found.st_ino : 0, 0, "", 0, from, to);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    char one[PATH_MAX], other[PATH_MAX];
    absolute(AT_FDCWD, from, one), absolute(AT_FDCWD, to, other);
    int result = real(from, to);
    renamed(result, one, other);
    return result;
}

int renameat(int a, const char *from, int b, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    char one[PATH_MAX], other[PATH_MAX];
    absolute(a, from, one), absolute(b, to, other);
    int result = real(a, from, b, to);
    renamed(result, one, other);
    return result;
}

#define REMOVE(symbol)                                                                     \
    int symbol(const char *name) {                                                         \
        REAL(int, #symbol, const char *);                                                  \
        char path[PATH_MAX]; absolute(AT_FDCWD, name, path);                               \
        int result = real(name);                                                           \
        if (result == 0 && inside(path)) record("unlink", 0, 0, "", 0, path, "");          \
        return result;                                                                     \
    }
REMOVE(unlink)
REMOVE(rmdir)
REMOVE(remove)

int unlinkat(int directory, const char *name, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    char path[PATH_MAX];
    absolute(directory, name, path);
    int result = real(directory, name, flags);
    if (result == 0 && inside(path)) record("unlink", 0, 0, "", 0, path, "");
    return result;
}

int mkdir(const char *name, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    struct stat found;
    char path[PATH_MAX];
    absolute(AT_FDCWD, name, path);
    int result = real(name, mode);
    if (result == 0 && inside(path)) record("mkdir", stat(path, &found) == 0 ? found.st_ino : 0, 0, "", 0, path, "");
    return result;
}

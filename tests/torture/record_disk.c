/* Preloaded into a process, it records what that does to the files below one directory: RECORD_DIRECTORY, an absolute
 * path; RECORD_LOG names the file of records, which are appended.
 *
 * A record is made behind the call that it tells of, in the thread that made the call. So a sync that is recorded has
 * happened, and every write in front of it in its thread is recorded in front of it. See disk_record.py for the reader.
 *
 * What is done by mmap is not seen. SQLite maps only the index of its log (-shm), which it makes anew after a crash.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_FILES 65536

enum { OPENED = 'O', WRITTEN = 'W', CUT = 'T', SYNCED = 'S', REMOVED = 'U', RENAMED = 'R' };

struct record {
    uint32_t size; /* of what follows this head */
    uint32_t kind;
    uint64_t file; /* its inode */
    uint64_t place;
};

static int log_file = -1;
static const char *directory;
static size_t directory_size;
/* Of each descriptor below the directory the inode; 0 for others. */
static uint64_t files[MOST_FILES];

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

__attribute__((constructor)) static void begin(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    directory = getenv("RECORD_DIRECTORY");
    directory_size = directory ? strlen(directory) : 0;
    const char *path = getenv("RECORD_LOG");
    if (path && directory)
        log_file = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(uint32_t kind, uint64_t file, uint64_t place, const void *data, size_t size) {
    if (log_file < 0)
        return;
    struct record head = {size, kind, file, place};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, size}};
    /* In one piece: other threads append, too. Without its records nothing that follows is worth anything. */
    if (writev(log_file, parts, 2) != (ssize_t)(sizeof head + size))
        abort();
}

/* The part of a path behind the directory; NULL for other paths. "" is the directory itself. */
static const char *below(const char *path) {
    if (!directory_size || strncmp(path, directory, directory_size))
        return NULL;
    path += directory_size;
    return *path == '/' ? path + 1 : *path ? NULL : path;
}

static uint64_t of(int descriptor) {
    return descriptor >= 0 && descriptor < MOST_FILES ? files[descriptor] : 0;
}

static int opened(int descriptor, const char *path, int flags) {
    const char *name = below(path);
    struct stat about;
    if (descriptor < 0 || descriptor >= MOST_FILES)
        return descriptor;
    files[descriptor] = 0;
    if (name == NULL || fstat(descriptor, &about))
        return descriptor;
    files[descriptor] = about.st_ino;
    put(OPENED, about.st_ino, !!(flags & O_TRUNC), name, strlen(name));
    return descriptor;
}

#define OPEN(name)                                                                                                    \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = va_arg(more, mode_t);                                                                            \
        va_end(more);                                                                                                  \
        return opened(real_open(path, flags, mode), path, flags);                                                      \
    }
OPEN(open)
OPEN(open64)

int close(int descriptor) {
    if (descriptor >= 0 && descriptor < MOST_FILES)
        files[descriptor] = 0;
    return real_close(descriptor);
}

static void written(int descriptor, const void *data, ssize_t size, off_t place) {
    if (size > 0)
        put(WRITTEN, of(descriptor), place, data, size);
}

ssize_t write(int descriptor, const void *data, size_t size) {
    ssize_t done = real_write(descriptor, data, size);
    if (of(descriptor))
        written(descriptor, data, done, lseek(descriptor, 0, SEEK_CUR) - done);
    return done;
}

#define PWRITE(name)                                                                                                   \
    ssize_t name(int descriptor, const void *data, size_t size, off_t place) {                                         \
        ssize_t done = real_pwrite(descriptor, data, size, place);                                                     \
        if (of(descriptor))                                                                                            \
            written(descriptor, data, done, place);                                                                    \
        return done;                                                                                                   \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define FTRUNCATE(name)                                                                                                \
    int name(int descriptor, off_t size) {                                                                             \
        int status = real_ftruncate(descriptor, size);                                                                 \
        if (status == 0 && of(descriptor))                                                                             \
            put(CUT, of(descriptor), size, "", 0);                                                                     \
        return status;                                                                                                 \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define SYNC(name)                                                                                                     \
    int name(int descriptor) {                                                                                         \
        int status = real_##name(descriptor);                                                                          \
        if (status == 0 && of(descriptor))                                                                             \
            put(SYNCED, of(descriptor), 0, "", 0);                                                                     \
        return status;                                                                                                 \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    int status = real_unlink(path);
    const char *name = below(path);
    if (status == 0 && name != NULL)
        put(REMOVED, 0, 0, name, strlen(name));
    return status;
}

int rename(const char *from, const char *to) {
    int status = real_rename(from, to);
    const char *old = below(from), *new = below(to);
    if (status == 0 && old != NULL && new != NULL) {
        char both[2 * PATH_MAX];
        size_t size = strlen(old) + 1;
        memcpy(both, old, size);
        strcpy(both + size, new);
        put(RENAMED, 0, 0, both, size + strlen(new));
    }
    return status;
}

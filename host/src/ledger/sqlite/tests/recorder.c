/* Preloaded into a process that writes to the folder RECORDER_FOLDER: writes down, in RECORDER_LOG, in order, what it does
 * to the files of that folder, so that power.rs can say what a disk may hold that loses its power at any moment. A record is
 * a letter, the lengths of two texts and of the data (32 bits each), an offset (64 bits), then texts and data.
 *
 * O file, maybe new   T length (offset)   W data at an offset   S file or folder is synced   R renamed to   U unlinked */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *names[FILES]; /* of the files of the folder that are open, by descriptor; "" is the folder itself */
static int appends[FILES];
static const char *folder;
static int out = -2;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void begin(void) {
    pthread_mutex_lock(&lock);
    if (out != -2) return;
    folder = getenv("RECORDER_FOLDER");
    const char *log = getenv("RECORDER_LOG");
    out = folder && log ? NEXT(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
}

static void end(void) { pthread_mutex_unlock(&lock); }

/* What of the path is behind the folder; none where it lies elsewhere. */
static const char *within(const char *path) {
    size_t len = folder ? strlen(folder) : 0;
    if (!len || strncmp(path, folder, len)) return NULL;
    return path[len] == '/' ? path + len + 1 : path[len] ? NULL : "";
}

static void record(char letter, const char *name, const char *other, uint64_t offset, const void *data, uint32_t len) {
    if (out < 0) return;
    unsigned char head[21];
    uint32_t lens[3] = {strlen(name), strlen(other), len};
    head[0] = letter;
    memcpy(head + 1, lens, 12);
    memcpy(head + 13, &offset, 8);
    struct iovec parts[4] = {{head, 21}, {(void *)name, lens[0]}, {(void *)other, lens[1]}, {(void *)data, len}};
    if (writev(out, parts, 4) != (ssize_t)(21 + lens[0] + lens[1] + len)) abort();
}

static const char *name_of(int fd) { return fd >= 0 && fd < FILES ? names[fd] : NULL; }

static int opened(int fd, const char *path, int flags) {
    const char *name = fd >= 0 && fd < FILES ? within(path) : NULL;
    if (!name) return fd;
    free(names[fd]);
    names[fd] = strdup(name);
    appends[fd] = flags & O_APPEND;
    if (flags & O_CREAT) record('O', name, "", 0, "", 0);
    if (flags & O_TRUNC) record('T', name, "", 0, "", 0);
    return fd;
}

#define OPEN(function)                                                                                                         \
    int function(const char *path, int flags, ...) {                                                                           \
        va_list rest;                                                                                                          \
        va_start(rest, flags);                                                                                                 \
        mode_t mode = va_arg(rest, mode_t);                                                                                    \
        va_end(rest);                                                                                                          \
        begin();                                                                                                               \
        int fd = opened(NEXT(function)(path, flags, mode), path, flags);                                                       \
        end();                                                                                                                 \
        return fd;                                                                                                             \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    begin();
    if (name_of(fd)) {
        free(names[fd]);
        names[fd] = NULL;
    }
    int done = NEXT(close)(fd);
    end();
    return done;
}

ssize_t write(int fd, const void *data, size_t len) {
    begin();
    off_t at = name_of(fd) ? lseek(fd, 0, appends[fd] ? SEEK_END : SEEK_CUR) : 0;
    ssize_t done = NEXT(write)(fd, data, len);
    if (done > 0 && name_of(fd)) record('W', name_of(fd), "", at, data, done);
    end();
    return done;
}

#define PWRITE(function, offset_type)                                                                                          \
    ssize_t function(int fd, const void *data, size_t len, offset_type at) {                                                   \
        begin();                                                                                                               \
        ssize_t done = NEXT(function)(fd, data, len, at);                                                                      \
        if (done > 0 && name_of(fd)) record('W', name_of(fd), "", at, data, done);                                             \
        end();                                                                                                                 \
        return done;                                                                                                           \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(function, offset_type)                                                                                        \
    int function(int fd, offset_type len) {                                                                                    \
        begin();                                                                                                               \
        int done = NEXT(function)(fd, len);                                                                                    \
        if (!done && name_of(fd)) record('T', name_of(fd), "", len, "", 0);                                                    \
        end();                                                                                                                 \
        return done;                                                                                                           \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(function)                                                                                                         \
    int function(int fd) {                                                                                                     \
        begin();                                                                                                               \
        int done = NEXT(function)(fd);                                                                                         \
        if (!done && name_of(fd)) record('S', name_of(fd), "", 0, "", 0);                                                      \
        end();                                                                                                                 \
        return done;                                                                                                           \
    }
SYNC(fsync)
SYNC(fdatasync)

int rename(const char *from, const char *to) {
    begin();
    int done = NEXT(rename)(from, to);
    if (!done && within(from) && within(to)) record('R', within(from), within(to), 0, "", 0);
    end();
    return done;
}

int unlink(const char *path) {
    begin();
    int done = NEXT(unlink)(path);
    if (!done && within(path)) record('U', within(path), "", 0, "", 0);
    end();
    return done;
}

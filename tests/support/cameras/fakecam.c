/* Webcams without hardware, for tests. With this library in LD_PRELOAD, a path P is a V4L2 capture device while
 * there is a folder P.d; P itself is a named pipe, so that it can be polled. The folder is read at every call:
 *
 *   config   "MJPG 640 480 30" or "YUYV 64 48 30": the format, the size and the rate that the camera has
 *   name     what it calls itself
 *   *.frame  what it sends, in name order, again and again: a JPEG or raw pixels
 *   gone     unplugged: everything answers ENODEV; so does a device whose folder vanished
 *   busy     another program streams: EBUSY
 *   denied   EACCES
 *   frozen   no pictures
 *   meta     has no pictures, only metadata
 *   log      gets a line for each format and rate asked for
 *
 * Build: gcc -shared -fPIC -O2 -o fakecam.so fakecam.c -ldl -lpthread
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HANDLES = 16, BUFFERS = 8, BUFFER_BYTES = 4 << 20, PAGE = 4096 };

struct handle {
    int fd, writer; /* the pipe's ends; fd -1: free */
    char folder[PATH_MAX];
    unsigned width, height, fps, format;
    void *buffers[BUFFERS];
    unsigned buffer_count, queue[BUFFERS], head, tail, shown;
    volatile int streaming;
    pthread_t clock;
};

static struct handle handles[HANDLES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
    for (int i = 0; i < HANDLES; i++) handles[i].fd = -1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int has(const char *folder, const char *flag) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, flag);
    return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

static FILE *entry(const struct handle *h, const char *name, const char *mode) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", h->folder, name);
    return fopen(path, mode);
}

static void note(const struct handle *h, const char *what, unsigned a, unsigned b) {
    FILE *log = entry(h, "log", "a");
    if (log) fprintf(log, "%s %u %u\n", what, a, b), fclose(log);
}

static struct handle *handle_of(int fd) {
    for (int i = 0; fd >= 0 && i < HANDLES; i++)
        if (handles[i].fd == fd) return &handles[i];
    return NULL;
}

static void read_config(struct handle *h) {
    char format[5] = "MJPG";
    h->width = 640, h->height = 480, h->fps = 30;
    FILE *config = entry(h, "config", "r");
    if (config) {
        if (fscanf(config, "%4s %u %u %u", format, &h->width, &h->height, &h->fps) < 1) h->fps = 30;
        fclose(config);
    }
    h->format = v4l2_fourcc(format[0], format[1], format[2], format[3]);
}

/* Returns -2 if `path` is no fake camera. */
static int open_camera(const char *path, int flags) {
    char folder[PATH_MAX];
    if (!path || snprintf(folder, sizeof folder, "%s.d", path) >= (int)sizeof folder) return -2;
    if (!has(folder, "config")) return -2;
    if (has(folder, "gone")) return errno = ENODEV, -1;
    if (has(folder, "denied")) return errno = EACCES, -1;
    int fd = REAL(open64)(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* ustreamer takes a writable one for lost */
    if (fd < 0) return -1;
    if (!(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, 0);
    pthread_mutex_lock(&lock);
    struct handle *h = NULL;
    for (int i = 0; i < HANDLES && !h; i++)
        if (handles[i].fd < 0) h = &handles[i];
    if (h) {
        memset(h, 0, sizeof *h);
        h->fd = fd;
        h->writer = REAL(open64)(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        strcpy(h->folder, folder);
        read_config(h);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name)                                                                                              \
    int name(const char *path, int flags, ...) {                                                                \
        va_list arguments;                                                                                      \
        va_start(arguments, flags);                                                                             \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;                          \
        va_end(arguments);                                                                                      \
        int fd = open_camera(path, flags);                                                                      \
        return fd != -2 ? fd : REAL(name)(path, flags, mode);                                                   \
    }
OPEN(open)
OPEN(open64)

/* One byte in the pipe for each picture that is due. */
static void *tick(void *argument) {
    struct handle *h = argument;
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    while (h->streaming) {
        due.tv_nsec += 1000000000L / (h->fps ? h->fps : 30);
        if (due.tv_nsec >= 1000000000L) due.tv_sec++, due.tv_nsec -= 1000000000L;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        if (has(h->folder, "gone") || !has(h->folder, "config") || !has(h->folder, "frozen"))
            if (write(h->writer, "", 1) < 0) continue; /* full: nobody reads */
    }
    return NULL;
}

static void stop(struct handle *h) {
    if (!h->streaming) return;
    h->streaming = 0;
    pthread_join(h->clock, NULL);
}

int close(int fd) {
    struct handle *h = handle_of(fd);
    if (h) {
        stop(h);
        for (int i = 0; i < BUFFERS; i++) free(h->buffers[i]);
        REAL(close)(h->writer);
        h->fd = -1;
    }
    return REAL(close)(fd);
}

static void *buffer_at(int fd, long offset) {
    struct handle *h = handle_of(fd);
    return h ? h->buffers[offset / PAGE] : NULL;
}

#define MMAP(name, offset_type)                                                                                 \
    void *name(void *at, size_t size, int protection, int flags, int fd, offset_type offset) {                  \
        void *buffer = buffer_at(fd, offset);                                                                   \
        return buffer ? buffer : REAL(name)(at, size, protection, flags, fd, offset);                           \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

int munmap(void *at, size_t size) {
    for (int i = 0; i < HANDLES; i++)
        for (int k = 0; handles[i].fd >= 0 && k < BUFFERS; k++)
            if (at && handles[i].buffers[k] == at) return 0;
    return REAL(munmap)(at, size);
}

static size_t load_frame(struct handle *h, void *buffer) {
    char pattern[PATH_MAX + 32];
    snprintf(pattern, sizeof pattern, "%s/*.frame", h->folder);
    glob_t found;
    if (glob(pattern, 0, NULL, &found)) return 0;
    FILE *file = fopen(found.gl_pathv[h->shown++ % found.gl_pathc], "rb");
    globfree(&found);
    if (!file) return 0;
    size_t size = fread(buffer, 1, BUFFER_BYTES, file);
    fclose(file);
    return size;
}

static int query(struct handle *h, struct v4l2_capability *answer) {
    memset(answer, 0, sizeof *answer);
    strcpy((char *)answer->driver, "fakecam");
    FILE *name = entry(h, "name", "r");
    if (!name || !fgets((char *)answer->card, sizeof answer->card, name)) strcpy((char *)answer->card, "Fake webcam");
    if (name) fclose(name);
    answer->card[strcspn((char *)answer->card, "\n")] = 0;
    answer->device_caps = has(h->folder, "meta") ? V4L2_CAP_META_CAPTURE : V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
    answer->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS; /* of all its devices */
    return 0;
}

static int format(struct handle *h, unsigned long request, struct v4l2_format *f) {
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || has(h->folder, "meta")) return errno = EINVAL, -1;
    if (request == VIDIOC_S_FMT && has(h->folder, "busy")) return errno = EBUSY, -1;
    if (request == VIDIOC_S_FMT) note(h, "size", f->fmt.pix.width, f->fmt.pix.height);
    f->fmt.pix = (struct v4l2_pix_format){
        .width = h->width, .height = h->height, .pixelformat = h->format, .field = V4L2_FIELD_NONE,
        .bytesperline = h->format == V4L2_PIX_FMT_YUYV ? h->width * 2 : 0,
        .sizeimage = h->format == V4L2_PIX_FMT_YUYV ? h->width * h->height * 2 : BUFFER_BYTES,
    };
    return 0;
}

static int rate(struct handle *h, unsigned long request, struct v4l2_streamparm *p) {
    if (request == VIDIOC_S_PARM)
        note(h, "rate", p->parm.capture.timeperframe.denominator, p->parm.capture.timeperframe.numerator);
    p->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    p->parm.capture.timeperframe = (struct v4l2_fract){1, h->fps};
    return 0;
}

static int request_buffers(struct handle *h, struct v4l2_requestbuffers *r) {
    if (has(h->folder, "meta")) return errno = EINVAL, -1;
    if (has(h->folder, "busy")) return errno = EBUSY, -1;
    if (r->count > BUFFERS) r->count = BUFFERS;
    for (unsigned i = 0; i < r->count; i++)
        if (!h->buffers[i]) h->buffers[i] = malloc(BUFFER_BYTES);
    h->buffer_count = r->count, h->head = h->tail = 0;
    return 0;
}

static int query_buffer(struct handle *h, struct v4l2_buffer *b) {
    if (b->index >= h->buffer_count) return errno = EINVAL, -1;
    b->length = BUFFER_BYTES, b->m.offset = b->index * PAGE, b->flags = 0;
    return 0;
}

static int dequeue(struct handle *h, struct v4l2_buffer *b) {
    char due;
    if (h->head == h->tail || read(h->fd, &due, 1) != 1) return errno = EAGAIN, -1;
    unsigned index = h->queue[h->head++ % BUFFERS];
    *b = (struct v4l2_buffer){
        .index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP,
        .bytesused = load_frame(h, h->buffers[index]), .length = BUFFER_BYTES, .m.offset = index * PAGE,
        .flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_DONE, .field = V4L2_FIELD_NONE,
    };
    return 0;
}

static int list_format(struct handle *h, struct v4l2_fmtdesc *f) {
    if (f->index) return errno = EINVAL, -1;
    f->pixelformat = h->format;
    return 0;
}

static int list_input(struct v4l2_input *i) {
    if (i->index) return errno = EINVAL, -1;
    memset(i, 0, sizeof *i);
    i->type = V4L2_INPUT_TYPE_CAMERA;
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *p = va_arg(arguments, void *);
    va_end(arguments);
    struct handle *h = handle_of(fd);
    request &= 0xffffffff; /* Python and libraries may pass it sign-extended */
    if (!h) return REAL(ioctl)(fd, request, p);
    if (has(h->folder, "gone") || !has(h->folder, "config")) return errno = ENODEV, -1;
    switch (request) {
    case VIDIOC_QUERYCAP: return query(h, p);
    case VIDIOC_ENUMINPUT: return list_input(p);
    case VIDIOC_G_INPUT: *(int *)p = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_ENUM_FMT: return list_format(h, p);
    case VIDIOC_G_FMT: case VIDIOC_S_FMT: case VIDIOC_TRY_FMT: return format(h, request, p);
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: return rate(h, request, p);
    case VIDIOC_REQBUFS: return request_buffers(h, p);
    case VIDIOC_QUERYBUF: return query_buffer(h, p);
    case VIDIOC_QBUF: h->queue[h->tail++ % BUFFERS] = ((struct v4l2_buffer *)p)->index; return 0;
    case VIDIOC_DQBUF: return dequeue(h, p);
    case VIDIOC_STREAMON:
        if (!h->streaming) h->streaming = 1, pthread_create(&h->clock, NULL, tick, h);
        return 0;
    case VIDIOC_STREAMOFF: stop(h); return 0;
    }
    errno = request == VIDIOC_QUERYCTRL || request == VIDIOC_G_CTRL || request == VIDIOC_S_CTRL ? EINVAL : ENOTTY;
    return -1;
}

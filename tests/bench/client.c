/* The load generator: sends prepared requests over keep-alive connections, one at a time on each, and notes when.
 *
 *   client PORT CONNECTIONS RATE SECONDS_MAX COUNT REQUESTS TIMES
 *
 * REQUESTS: [length, 4 bytes little endian][bytes] again and again; COUNT are sent, beginning anew at the end of the
 * file where that is fewer. RATE 0: closed loop, the next request leaves when
 * an answer is in. RATE > 0: open loop, requests fall due by a Poisson process of that many a second, whatever the
 * server does; one that finds no free connection waits, and its latency counts from when it was due.
 * TIMES gets, per request, two 8-byte numbers: due and answered, nanoseconds of CLOCK_MONOTONIC (answered 0: never).
 * stdout: one JSON object. Exit code 1: the server could not be reached or broke the protocol.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MAX = 65536, CONNECTIONS_MAX = 4096, STATUS_MAX = 600 };

typedef struct {
    int fd;
    long request; /* which one is under way; -1: none */
    size_t got;
    char answer[ANSWER_MAX];
} Connection;

typedef struct { uint64_t due, answered; } Times;

static Connection *connections;
static const char **requests;
static uint32_t *lengths;
static Times *times;
static long total, prepared, begun, done, by_status[STATUS_MAX], reconnects;
static int port, connection_count, epoll;
static int *idle, idle_count;

static uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void connect_to_server(Connection *connection) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    inet_pton(AF_INET, "127.0.0.1", &server.sin_addr);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) fail("socket");
    if (connect(connection->fd, (struct sockaddr *)&server, sizeof server)) fail("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event)) fail("epoll_ctl");
    connection->got = 0;
}

static void reconnect(Connection *connection) {
    close(connection->fd);
    reconnects++;
    connect_to_server(connection);
}

/* Sends the connection's request whole: a few kilobytes always fit into an empty socket buffer. */
static void put_out(Connection *connection) {
    long at = connection->request % prepared;
    ssize_t sent = send(connection->fd, requests[at], lengths[at], MSG_NOSIGNAL);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        reconnect(connection); /* it was closed while it rested */
        sent = send(connection->fd, requests[at], lengths[at], MSG_NOSIGNAL);
    }
    if (sent != (ssize_t)lengths[at]) fail("send");
}

static void begin(Connection *connection, uint64_t due) {
    connection->request = begun++;
    times[connection->request].due = due;
    put_out(connection);
}

static int header_says(const char *head, size_t length, const char *name, char *value, size_t room) {
    const char *end = head + length;
    size_t wanted = strlen(name);
    for (const char *line = head; line < end;) {
        const char *next = memmem(line, (size_t)(end - line), "\r\n", 2);
        if (!next) next = end;
        if ((size_t)(next - line) > wanted && !strncasecmp(line, name, wanted)) {
            snprintf(value, room, "%.*s", (int)(next - line - (long)wanted), line + wanted);
            return 1;
        }
        line = next + 2;
    }
    return 0;
}

/* Is the answer whole? Then counts it, and says in `close_after` whether the server parts. */
static int take_answer(Connection *connection, int *close_after) {
    char value[64] = "0";
    connection->answer[connection->got] = 0;
    char *blank = memmem(connection->answer, connection->got, "\r\n\r\n", 4);
    if (!blank) return 0;
    size_t head = (size_t)(blank - connection->answer);
    header_says(connection->answer, head + 2, "content-length:", value, sizeof value);
    if (connection->got < head + 4 + strtoul(value, NULL, 10)) return 0;
    long status = strtol(connection->answer + 9, NULL, 10);
    by_status[status > 0 && status < STATUS_MAX ? status : 0]++;
    value[0] = 0;
    *close_after = header_says(connection->answer, head + 2, "connection:", value, sizeof value) && strcasestr(value, "close");
    connection->got = 0;
    return 1;
}

/* Reads what is there; 1 if the request under way is answered. */
static int hear(Connection *connection) {
    int close_after = 0;
    ssize_t got = recv(connection->fd, connection->answer + connection->got, ANSWER_MAX - 1 - connection->got, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) {
        reconnect(connection);
        if (connection->request >= 0) put_out(connection); /* closed while it waited: the sender repeats */
        return 0;
    }
    connection->got += (size_t)got;
    if (!take_answer(connection, &close_after)) {
        if (connection->got == ANSWER_MAX - 1) fail("an answer without an end");
        return 0;
    }
    times[connection->request].answered = now_ns();
    connection->request = -1;
    done++;
    if (close_after) reconnect(connection);
    return 1;
}

static void load(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status)) fail(path);
    char *all = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (all == MAP_FAILED) fail("mmap");
    for (long at = 0; at < status.st_size; prepared++) {
        uint32_t length;
        memcpy(&length, all + at, 4);
        at += 4 + length;
    }
    requests = malloc(sizeof *requests * (size_t)(prepared + 1));
    lengths = malloc(sizeof *lengths * (size_t)(prepared + 1));
    long place = 0;
    for (long at = 0; at < status.st_size; place++) {
        memcpy(&lengths[place], all + at, 4);
        requests[place] = all + at + 4;
        at += 4 + lengths[place];
    }
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "client PORT CONNECTIONS RATE SECONDS_MAX COUNT REQUESTS TIMES\n");
        return 2;
    }
    port = atoi(argv[1]);
    connection_count = atoi(argv[2]);
    double rate = atof(argv[3]), seconds_max = atof(argv[4]);
    total = atol(argv[5]);
    if (connection_count < 1 || connection_count > CONNECTIONS_MAX || total < 1) {
        fprintf(stderr, "1 to 4096 connections, and at least one request\n");
        return 2;
    }
    load(argv[6]);
    if (!prepared) fail("an empty file of requests");
    times = calloc((size_t)total + 1, sizeof *times);
    connections = calloc((size_t)connection_count, sizeof *connections);
    idle = malloc(sizeof *idle * (size_t)connection_count);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int each = 0; each < connection_count; each++) {
        connections[each].request = -1;
        connect_to_server(&connections[each]);
        idle[idle_count++] = each;
    }
    srand48(1);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    uint64_t began = now_ns(), next = began, limit = began + (uint64_t)(seconds_max * 1e9), now = began;
    while (done < total && now < limit) {
        while (idle_count && begun < total && (rate == 0 || next <= now)) {
            begin(&connections[idle[--idle_count]], rate == 0 ? now_ns() : next);
            if (rate > 0) next += (uint64_t)(-log(1 - drand48()) / rate * 1e9);
        }
        uint64_t until = limit;
        if (rate > 0 && idle_count && begun < total && next < until) until = next;
        uint64_t wait = until > now ? until - now : 0;
        struct timespec timeout = {.tv_sec = (long)(wait / 1000000000u), .tv_nsec = (long)(wait % 1000000000u)};
        struct epoll_event events[256];
        int ready = epoll_pwait2(epoll, events, 256, &timeout, NULL);
        if (ready < 0 && errno != EINTR) fail("epoll_pwait2");
        for (int each = 0; each < ready; each++) {
            Connection *connection = events[each].data.ptr;
            if (!hear(connection)) continue;
            if (rate == 0 && begun < total) begin(connection, now_ns());
            else idle[idle_count++] = (int)(connection - connections);
        }
        now = now_ns();
    }
    getrusage(RUSAGE_SELF, &after);
    int out = open(argv[7], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (out < 0) fail(argv[7]);
    for (size_t at = 0, size = sizeof *times * (size_t)begun; at < size;) {
        ssize_t wrote = write(out, (char *)times + at, size - at);
        if (wrote < 0) fail("write");
        at += (size_t)wrote;
    }
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1e6
        + (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    printf("{\"total\": %ld, \"begun\": %ld, \"done\": %ld, \"seconds\": %.6f, \"client_cpu_us\": %.0f, \"reconnects\": %ld, \"statuses\": {",
           total, begun, done, (double)(now - began) / 1e9, cpu, reconnects);
    const char *comma = "";
    for (int status = 0; status < STATUS_MAX; status++) {
        if (!by_status[status]) continue;
        printf("%s\"%d\": %ld", comma, status, by_status[status]);
        comma = ", ";
    }
    printf("}}\n");
    return 0;
}

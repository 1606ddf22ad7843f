/*
 * sendlimit - what the machine itself allows: one send() per client and round.
 *
 * Accepts CLIENTS WebSocket connections, then ROUNDS times sends one pre-encoded frame of BYTES
 * payload bytes to each of them with one blocking send() call, and prints one line of JSON.
 * A server that writes every delivery to its socket separately cannot spend less CPU per delivery.
 * It listens on 127.0.0.1 only and does not compute Sec-WebSocket-Accept; use wsload as client.
 *
 * This is the benchmark kit's sendlimit; nothing differs but these two lines.
 *
 * Build: cc -O2 -o sendlimit sendlimit.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Reads one request up to its empty line; clients send nothing else. */
static int read_request(int fd)
{
    char buf[8192];
    size_t len = 0;
    while (len < sizeof buf) {
        ssize_t n = read(fd, buf + len, sizeof buf - len);
        if (n <= 0) return -1;
        len += n;
        if (memmem(buf, len, "\r\n\r\n", 4)) return 0;
    }
    return -1;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fputs("usage: sendlimit PORT CLIENTS ROUNDS BYTES [MAX_SECONDS]\n"
              "  e.g. sendlimit 7190 1000 2000 120 20 &  wsload --path / --conns 1000 --spin --warmup 0 --seconds 20 127.0.0.1 7190\n",
              stderr);
        return 1;
    }
    int port = atoi(argv[1]), clients = atoi(argv[2]), rounds = atoi(argv[3]), bytes = atoi(argv[4]), one = 1;
    double limit = argc > 5 ? atof(argv[5]) : 20;
    if (clients < 1 || rounds < 1 || bytes < 0 || bytes > 65535 || limit <= 0) {
        fputs("sendlimit: CLIENTS and ROUNDS from 1, BYTES from 0 to 65535\n", stderr);
        return 1;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    alarm((unsigned)limit + 40); /* 30 s for the clients to come, then the run */
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at)) fail("bind");
    if (listen(listener, 4096)) fail("listen");

    int *fds = malloc(clients * sizeof *fds);
    static const char accepted[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for (int i = 0; i < clients; i++) {
        struct pollfd waiting = {.fd = listener, .events = POLLIN};
        if (poll(&waiting, 1, 30000) != 1) {
            fprintf(stderr, "sendlimit: only %d of %d clients came\n", i, clients);
            return 1;
        }
        if ((fds[i] = accept(listener, NULL, NULL)) < 0) fail("accept");
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (read_request(fds[i]) || write(fds[i], accepted, sizeof accepted - 1) < 0) fail("handshake");
    }
    usleep(300000); /* let the clients finish connecting */

    unsigned char *frame = calloc(1, bytes + 4);
    int head = 2;
    frame[0] = 0x82;
    if (bytes < 126) frame[1] = bytes;
    else frame[1] = 126, frame[2] = bytes >> 8, frame[3] = bytes, head = 4;
    memset(frame + head, 'x', bytes);

    long sends = 0, failed = 0;
    double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), end = wall + limit;
    int round = 0;
    for (; round < rounds && seconds_of(CLOCK_MONOTONIC) < end; round++)
        for (int i = 0; i < clients; i++) {
            if (send(fds[i], frame, head + bytes, MSG_NOSIGNAL) == head + bytes) sends++;
            else failed++;
        }
    wall = seconds_of(CLOCK_MONOTONIC) - wall;
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"clients\":%d,\"rounds\":%d,\"frame_bytes\":%d,\"sends\":%ld,\"failed\":%ld,\"wall_s\":%.3f,\"cpu_s\":%.3f,"
           "\"sends_per_s\":%.0f,\"cpu_us_per_send\":%.3f}\n",
           clients, round, bytes, sends, failed, wall, cpu, sends / wall, sends ? cpu / sends * 1e6 : 0);
    fflush(stdout);
    usleep(300000); /* let the clients read the rest */
    return 0;
}

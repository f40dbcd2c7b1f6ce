/* Starts a gateway and prints the milliseconds until its /readyz says 200; then stops it.
 *
 *   start ADMIN-PORT PROGRAM [ARGUMENT …] */
#include "workload.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { STEP_NS = 200 * 1000, PATIENCE_US = 20 * 1000 * 1000 };

static bool is_ready(uint16_t port)
{
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static const char wanted[] = "HTTP/1.1 200";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char answer[sizeof(wanted)] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
              send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == sizeof(request) - 1 &&
              recv(fd, answer, sizeof(wanted) - 1, MSG_WAITALL) == sizeof(wanted) - 1 && strcmp(answer, wanted) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        workload_fail("usage: start ADMIN-PORT PROGRAM [ARGUMENT …]");
    uint16_t port = (uint16_t)atoi(argv[1]);
    int status = 0;
    int64_t from_us = epoch_mono_us(), took_us = 0;
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[2], argv + 2);
        _exit(127);
    }
    if (pid < 0)
        workload_fail("cannot fork");
    while (!is_ready(port)) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            workload_fail("the gateway ended before it was ready");
        if (epoch_mono_us() - from_us > PATIENCE_US) {
            kill(pid, SIGKILL);
            workload_fail("the gateway does not get ready");
        }
        nanosleep(&(struct timespec){.tv_nsec = STEP_NS}, NULL);
    }
    took_us = epoch_mono_us() - from_us;
    kill(pid, SIGTERM);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        workload_fail("the gateway did not stop cleanly");
    printf("start %.2f\n", (double)took_us / 1000);
    return 0;
}

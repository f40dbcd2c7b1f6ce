/* Feeds each file below the directories given to the fuzz target, so that a corpus is a test on any machine. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 1024 * 1024 };

static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_MAX);
    if (f == NULL || data == NULL) {
        perror(path);
        return 1;
    }
    size_t n = fread(data, 1, INPUT_MAX, f);
    fclose(f);
    /* an allocation of the exact size lets the sanitizer see a read past the end */
    uint8_t *exact = malloc(n == 0 ? 1 : n);
    if (exact == NULL)
        return 1;
    for (size_t i = 0; i < n; i++)
        exact[i] = data[i];
    free(data);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 0;
}

static int replay_dir(const char *dir)
{
    char path[4096];
    int n = 0, bad = 0;
    DIR *d = opendir(dir);
    if (d == NULL) {
        perror(dir);
        return 1;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        bad += replay_file(path);
        n++;
    }
    closedir(d);
    printf("%s: %d inputs\n", dir, n);
    return bad != 0 || n == 0;
}

int main(int argc, char **argv)
{
    int bad = argc < 2;
    for (int i = 1; i < argc; i++)
        bad |= replay_dir(argv[i]);
    return bad;
}

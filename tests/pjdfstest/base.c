/* Loaded into pjdfstest. It makes one directory to work in, with a random name, and a directory in that for each test.
 * For the latter to be stores, the first is a symbolic link to the directory of stores, which PJDFSTEST_BASE names. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int mkdir(const char *path, mode_t mode)
{
    static int made;
    const char *base = getenv("PJDFSTEST_BASE");
    int (*original)(const char *, mode_t) = dlsym(RTLD_NEXT, "mkdir");

    if (base && !made) {
        made = 1;
        return symlink(base, path);
    }
    return original(path, mode);
}

/* What a shared library shows to the outside. */
#ifndef GK_EXPORT_H
#define GK_EXPORT_H
#if defined(_WIN32)
#define GK_EXPORT __declspec(dllexport)
#else
#define GK_EXPORT __attribute__((visibility("default")))
#endif
/* Raised whenever an entry point changes; the loader refuses a library of another number. */
#define GK_ABI 7
#endif

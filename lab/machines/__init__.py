"""The lab's machines: images, disks, boot, power."""

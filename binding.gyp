# Lets node-gyp (`node-gyp rebuild`, `npm rebuild`) drive the CMake build: one action, which compiles nothing itself.
{
  "targets": [
    {
      "target_name": "addon",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake_build",
          "inputs": [],
          "outputs": ["<(module_root_dir)/build/Release/sightloop.node"],
          "action": ["node", "<(module_root_dir)/cmake/build.mjs"],
          "message": "Building the addon with CMake"
        }
      ]
    }
  ]
}
